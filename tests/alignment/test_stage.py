"""The stage: from a checkpoint folder and spoken instructions to an aligned checkpoint folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rba.alignment.rollout import Drawn
from rba.alignment.settings import AdaptiveSettings, ValidationSettings
from rba.alignment.stage import align, run
from rba.data import shards
from rba.errors import DataError, ModelError
from rba.evaluation.leak import heard_by
from rba.lm.scoring import backbone
from rba.models.adapters import for_inference
from rba.models.heard import HEARD
from rba.models.load import load_speechlm
from rba.rewards.weighted import WeightedReward
from rba.testing.tiny_speechlm import save_tiny_speechlm, tiny_speechlm
from rba.testing.tiny_utterances import tiny_utterances
from rba.workspace import StageFolder, file_hash

from .conftest import SMALL, variety

SETTINGS = replace(
    SMALL,
    steps=2,
    validation=ValidationSettings(every=2, groups=2),
    adaptive=AdaptiveSettings(drift_every=2, drift_answers=2),
)
ROWS = tiny_utterances(3, 2) + tiny_utterances(2, 2, "validation")


def opened(path: Path, mark: str = "mark") -> StageFolder:
    folder = StageFolder(path)
    folder.open(mark)
    return folder


def test_run_writes_a_checkpoint_that_opens_and_answers_differently(tmp_path: Path):
    base, records = save_tiny_speechlm(tmp_path / "base"), []
    folder = opened(tmp_path / "align" / "rba-group")
    run(
        SETTINGS,
        method="rba-group",
        folder=folder,
        seed=1,
        model=base,
        utterances=ROWS,
        teacher="none",
        log=records.append,
    )
    assert folder.is_complete
    assert [r["step"] for r in records] == [0, 1, 2]
    assert {"validation/score", "validation/reward", "validation/logp", "kl"} <= records[-1].keys()
    before, after = load_speechlm(base, "float32"), load_speechlm(folder.path / "model", "float32")
    features = before.encode([0.1 * torch.randn(8000).numpy()])
    assert torch.equal(before.prompts(features)[0], after.prompts(features)[0])
    states = [m.lm.model(inputs_embeds=m.prompts(features)[0][None]).logits for m in (before, after)]
    assert (states[0] - states[1]).abs().max() > 1e-3


@pytest.mark.parametrize("method", ["sft", "rba-single", "opd"])
def test_all_weights_of_the_llm_are_trained_where_that_is_asked_for(tmp_path: Path, method: str):
    base, records = save_tiny_speechlm(tmp_path / "base"), []
    folder = opened(tmp_path / "align" / method)
    full = replace(SETTINGS, steps=6, tuning="full", lr=3e-3, use_reference=method == "rba-single")
    common: dict[str, Any] = {"seed": 1, "utterances": ROWS, "teacher": "none"}
    run(full, method=method, folder=folder, model=base, log=records.append, **common)
    assert records[-1]["loss"] < records[1]["loss"]
    before, after = load_speechlm(base, "float32"), load_speechlm(folder.path / "model", "float32")
    size = sum(p.numel() for p in backbone(before.lm.model).layers.parameters())
    assert folder.manifest["notes"]["training"]["trained_weights"] == size
    features = before.encode([0.1 * torch.randn(8000).numpy()])
    states = [m.lm.model(inputs_embeds=m.prompts(features)[0][None]).logits for m in (before, for_inference(after))]
    assert (states[0] - states[1]).abs().max() > 1e-3


def test_an_aligned_checkpoint_knows_the_texts_that_its_connector_was_trained_on(tmp_path: Path):
    base, folder = save_tiny_speechlm(tmp_path / "base"), opened(tmp_path / "align" / "sft")
    np.save(base / HEARD, np.array([255], np.uint64))
    settings = replace(SETTINGS, steps=1, validation=ValidationSettings())
    run(settings, method="sft", folder=folder, seed=1, model=base, utterances=ROWS, teacher="none", log=print)
    assert heard_by(folder.path / "model") == {"00000000000000ff"}
    assert f"model/{HEARD}" in folder.manifest["files"]


def test_a_model_is_aligned_on_packed_weights_and_opens_on_them(tmp_path: Path):
    pytest.importorskip("bitsandbytes")
    base, folder, records = save_tiny_speechlm(tmp_path / "base"), opened(tmp_path / "align" / "rba-group"), []
    settings = replace(SETTINGS, quantize="nf4", gradient_checkpointing=True)
    parts = {"seed": 1, "utterances": ROWS, "teacher": "none", "log": records.append}
    run(settings, method="rba-group", folder=folder, model=base, **parts)
    assert [r["step"] for r in records] == [0, 1, 2] and records[-1]["kl"] != 0
    model = load_speechlm(folder.path / "model", "float32")
    assert model.lm.quantize == "nf4"
    assert torch.uint8 in {p.dtype for p in model.lm.model.parameters()}


def test_the_model_card_and_the_manifest_say_what_was_done(tmp_path: Path):
    folder = opened(tmp_path / "align" / "sft")
    rows = [replace(ROWS[0], audio=b"noise"), *ROWS[1:]]
    align(tiny_speechlm(), SETTINGS, method="sft", folder=folder, seed=1, utterances=rows, reward=lambda: variety)
    card = (folder.path / "model" / "README.md").read_text()
    assert "Eq. 1" in card
    assert "groups_per_step: 2" in card
    assert folder.notes["data"]["bad_clips"] == 1
    assert folder.notes["bad_clips"] == {ROWS[0].id: "audio cannot be decoded"}
    assert folder.notes["training"]["steps"] == 2
    assert not list((tmp_path / "checkpoints").iterdir())


def test_the_adapter_file_names_the_llm_and_no_path_of_this_machine(tmp_path: Path):
    folder = opened(tmp_path / "align" / "sft")
    align(tiny_speechlm(), SETTINGS, method="sft", folder=folder, seed=1, utterances=ROWS, reward=lambda: variety)
    facts = json.loads((folder.path / "model" / "adapter" / "adapter_config.json").read_text())
    assert facts["base_model_name_or_path"] == "tiny-0"
    assert facts["target_modules"] == sorted(facts["target_modules"])


def test_methods_of_a_run_share_encoded_speech_and_first_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def go(method: str, seed: int = 1, **changes: Any):
        folder = opened(tmp_path / "align" / method, f"{seed} {changes}")
        settings = replace(SETTINGS, **changes)
        align(
            tiny_speechlm(), settings, method=method, folder=folder, seed=seed, utterances=ROWS, reward=lambda: variety
        )

    go("rba-single")
    kept = sorted(p.name for p in (tmp_path / "align" / ".shared").iterdir())
    monkeypatch.setattr("rba.alignment.bank._encode", None)
    monkeypatch.setattr("rba.alignment.rollout.Rollouts._draw", None)
    go("rba-group")
    go("rba-group", lr=1e-3, beta=0.5)
    assert sorted(p.name for p in (tmp_path / "align" / ".shared").iterdir()) == kept
    with pytest.raises(TypeError):
        go("rba-group", seed=2)


def test_a_variant_takes_the_methods_answers_where_they_are_the_same_and_leaves_them_alone_where_not(tmp_path: Path):
    shared = tmp_path / "align" / ".shared"

    def go(name: str, **changes: Any):
        folder = opened(tmp_path / "align" / name)
        common = {"method": "rba-group", "folder": folder, "seed": 1, "utterances": ROWS}
        align(tiny_speechlm(), replace(SETTINGS, **changes), **common, reward=lambda: variety)
        return folder.path / "rollouts", sorted((p.name, file_hash(p)) for p in shared.rglob("*.parquet"))

    _, first = go("rba-group")
    own, after = go("sharp", beta=0.5)
    assert after == first and not own.exists()
    own, after = go("alone", voices=1)
    assert after == first
    drawn = [row for path in own.glob("round-*") for row in shards.read(path, Drawn)]
    assert {row.utterance_id.split("-")[-1] for row in drawn} == {"0"}
    assert len(drawn) == 3


@pytest.mark.parametrize("train_connector", [False, True])
def test_speech_that_is_read_from_its_files_trains_the_same(tmp_path: Path, train_connector: bool):
    made = []
    for limit in (8.0, 0.0):
        folder = opened(tmp_path / f"{limit}" / "align" / "rba-single")
        settings = replace(SETTINGS, train_connector=train_connector, features_in_memory=limit, use_reference=True)
        align(
            tiny_speechlm(),
            settings,
            method="rba-single",
            folder=folder,
            seed=1,
            utterances=ROWS,
            reward=lambda: variety,
        )
        made.append({k: v for k, v in folder.manifest["files"].items() if k.endswith("safetensors")})
    assert made[0] == made[1] and len(made[0]) == 2


def test_without_validation_instructions_the_last_weights_are_kept(tmp_path: Path):
    folder = opened(tmp_path / "sft")
    rows = [row for row in ROWS if row.split == "train"]
    outcome = align(
        tiny_speechlm(), SETTINGS, method="sft", folder=folder, seed=1, utterances=rows, reward=lambda: variety
    )
    assert (outcome.best_step, outcome.best_score) == (2, None)


def test_an_objective_adds_its_rewards_where_answers_are_ranked_but_not_where_they_validate(tmp_path: Path):
    asked: list[Any] = []

    def reward(extra: Any = None):
        asked.append(extra)
        return variety

    folder = opened(tmp_path / "align" / "tars")
    settings = replace(SETTINGS, answers=2, validation=ValidationSettings(every=2, groups=2, by="reward"))
    align(tiny_speechlm(), settings, method="tars", folder=folder, seed=1, utterances=ROWS, reward=reward)
    assert asked == [None, {"similarity": 1.0}]
    names = {p.name.split("-round")[0] for p in (tmp_path / "align" / ".shared").glob("answers-*/*")}
    assert {"round", "typed"} <= {name.split("-")[0] for name in names}
    assert sum(name.startswith("rewards-") for name in names) == 2


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ([], "no spoken training instruction"),
        (tiny_utterances(2, 1, "test"), "no spoken training instruction"),
        ([replace(r, response="") for r in ROWS], "no spoken training instruction"),
        ([replace(r, audio=b"noise") for r in ROWS], "no training clip can be heard"),
    ],
)
def test_nothing_to_train_on_is_refused(tmp_path: Path, rows: list[Any], line: str):
    with pytest.raises(DataError, match=line):
        align(
            tiny_speechlm(),
            SETTINGS,
            method="sft",
            folder=opened(tmp_path / "s"),
            seed=1,
            utterances=rows,
            reward=lambda: variety,
        )


def test_an_aligned_model_can_be_aligned_further_but_is_no_reference(tmp_path: Path):
    base = save_tiny_speechlm(tmp_path / "base")
    first = opened(tmp_path / "align" / "sft")
    common: dict[str, Any] = {"seed": 1, "utterances": ROWS, "teacher": "none", "log": lambda record: None}
    run(SETTINGS, method="sft", folder=first, model=base, **common)
    second = opened(tmp_path / "again" / "rba-single")
    run(SETTINGS, method="rba-single", folder=second, model=first.path / "model", **common)
    assert second.is_complete
    with pytest.raises(ModelError, match="its own reference"):
        run(
            replace(SETTINGS, use_reference=True),
            method="rba-single",
            folder=opened(tmp_path / "x"),
            model=first.path / "model",
            **common,
        )


@pytest.mark.parametrize("method", ["rba-group", "grpo", "dpo", "tars"])
def test_a_training_that_ended_without_any_reward_goes_on_once_the_reward_is_mended(tmp_path: Path, method: str):
    common: dict[str, Any] = {"method": method, "seed": 1, "utterances": ROWS}

    def silent(prompts: list[str], *_: Any, **columns: Any) -> list[None]:
        return [None] * len(prompts)

    folder = opened(tmp_path / "align" / method)
    with pytest.raises(ModelError, match=r"none of \d+ answers has a reward"):
        align(tiny_speechlm(), SETTINGS, **common, folder=folder, reward=lambda *_: silent)
    again = opened(tmp_path / "align" / method)
    align(tiny_speechlm(), SETTINGS, **common, folder=again, reward=lambda *_: variety)
    assert again.is_complete


def test_a_mended_reward_is_asked_about_the_answers_that_were_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    settings = replace(SETTINGS, reward="mended_reward:value")
    asked: list[int] = []

    def go(code: str, mark: str) -> list[str]:
        Path("mended_reward.py").write_text(code)

        def reward(prompts: list[str], texts: list[str], *_: Any, **columns: Any) -> list[float]:
            asked.append(len(texts))
            return variety(prompts, texts)

        folder = opened(tmp_path / "align" / "rba-group", mark)
        parts = {"method": "rba-group", "folder": folder, "seed": 1, "utterances": ROWS}
        align(tiny_speechlm(), settings, **parts, reward=lambda *_: reward)
        return sorted(path.name for path in tmp_path.glob("align/.shared/answers-*/*"))

    once = go("value = len", "before")
    monkeypatch.setattr("rba.alignment.rollout.Rollouts._draw", None)
    before = len(asked)
    again = go("value = max", "mended")
    assert len(asked) == 2 * before
    assert [name for name in again if name.startswith("round")] == [name for name in once if name.startswith("round")]
    assert set(once) < set(again)


def test_why_answers_have_no_reward_is_known_to_every_method_that_shares_them(tmp_path: Path):
    def moody(completions: list[str], **columns: Any) -> list[float | None]:
        return [None if i % 2 else float(len(set(text))) for i, text in enumerate(completions)]

    noted = []
    for method in ("rba-group", "grpo"):
        folder = opened(tmp_path / "align" / method)
        parts = {"method": method, "folder": folder, "seed": 1, "utterances": ROWS}
        align(tiny_speechlm(), SETTINGS, **parts, reward=lambda *_: WeightedReward([(moody, 1.0)]))
        noted.append(folder.notes["rewards_dropped"])
    assert noted == 2 * [{"moody: no value": 3}]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sharding": "fsdp"}, "cannot be divided.*align.sharding=none"),
        ({"rollout_server": "openai:http://h/v1#m"}, "a server does not draw.*align.rollout_server empty"),
    ],
)
def test_a_checkpoint_on_packed_weights_is_refused_what_packing_by_the_recipe_is(tmp_path: Path, changes, says: str):
    packed = tiny_speechlm()
    packed.lm.quantize = "nf4"
    parts = {"method": "rba-group", "folder": opened(tmp_path / "align" / "x"), "seed": 1, "utterances": ROWS}
    with pytest.raises(ModelError, match=says):
        align(packed, replace(SETTINGS, **changes), **parts, reward=lambda: variety)


@pytest.mark.parametrize("method", ["sft", "kd"])
def test_a_model_without_a_token_that_ends_a_turn_is_refused(tmp_path: Path, method: str):
    endless = tiny_speechlm()
    endless.lm.end_ids = []
    folder = opened(tmp_path / "align" / method)
    with pytest.raises(ModelError, match="no token that ends a turn"):
        align(endless, SETTINGS, method=method, folder=folder, seed=1, utterances=ROWS, reward=lambda: variety)
