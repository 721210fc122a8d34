"""A final model in plain transformers: the same logits, and clear faults about which model."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
import transformers
from releases import each, needs
from report.fake_run import make_run, recipe_for
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from export.runs import save_moved
from rba import cli, document
from rba.chat import DEFAULT_SAMPLING, ask
from rba.errors import DataError, WorkspaceError
from rba.export.model import export_model
from rba.lm.sampling import Sampling
from rba.lm.scorer import score
from rba.lm.task import TaskSettings
from rba.models.adapters import adapter_parameters, add_lora
from rba.models.families import FAMILIES as AUDIO_LMS
from rba.models.load import load_speechlm
from rba.models.told import told
from rba.testing.tiny_audio_lm import save_tiny_audio_lm
from rba.testing.tiny_speechlm import save_tiny_speechlm
from rba.testing.tiny_utterances import tiny_wave

IDS = torch.tensor([[5, 9, 13, 21, 8, 30, 11]])


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run folder with one final model, whose adapter changes what the LLM says."""
    root = tmp_path_factory.mktemp("model") / "run"
    speechlm = load_speechlm(save_tiny_speechlm(root.parent / "start"), "float32")
    add_lora(speechlm, rank=4)
    generator = torch.Generator().manual_seed(0)
    for parameter in adapter_parameters(speechlm):
        parameter.data.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    speechlm.save(root / "final" / "rba-group")
    return root


@torch.no_grad()
def test_plain_transformers_gives_the_logits_of_the_aligned_model(run, tmp_path):
    assert export_model(run, "transformers", tmp_path / "out") == "rba-group"
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    ours = load_speechlm(run / "final" / "rba-group", "float32", torch.device("cpu")).lm
    assert not any("lora" in name for name, _ in plain.named_parameters())
    torch.testing.assert_close(plain(IDS).logits, ours.model(IDS).logits, atol=1e-4, rtol=1e-4)
    with ours.model.disable_adapter():
        assert not torch.allclose(plain(IDS).logits, ours.model(IDS).logits, atol=1e-2)
    assert plain.generation_config.eos_token_id == ours.end_ids
    asked = [{"role": "user", "content": "hello"}]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer.apply_chat_template(asked, tokenize=False) == ours.tokenizer.apply_chat_template(
        asked, tokenize=False
    )


def test_the_connector_goes_with_it(run, tmp_path):
    export_model(run, "transformers", tmp_path / "out", "rba-group")
    ours, theirs = (load_file(f / "connector.safetensors") for f in (run / "final" / "rba-group", tmp_path / "out"))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)
    assert (tmp_path / "out" / "connector.json").is_file()


FAMILIES = [
    "qwen2_audio",
    "voxtral",
    "qwen3_omni_moe_thinker",
    "phi4_multimodal",
    "gemma3n",
    "gemma4",
    "gemma4_unified",
    "nemotron_h_omni",
    "ultravox",
    "desta25",
    "salmonn",
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, Path]]:
    """`exported(family)`: an aligned model of that family, and the folder that it was exported to."""

    @cache
    def made(family: str) -> tuple[Any, Path]:
        place = tmp_path_factory.mktemp(family)
        speechlm = load_speechlm(save_tiny_audio_lm(place / "start", family), "float32")
        save_moved(speechlm, place / "run")
        export_model(place / "run", "transformers", place / "out")
        return speechlm, place / "out"

    return made


@pytest.mark.parametrize("family", each(FAMILIES))
def test_an_audio_lm_becomes_a_whole_model_of_its_class_again(exported, family):
    speechlm, out = exported(family)
    plain = load_speechlm(out, "float32")
    answer, waves = [40, 41, 42, 2], [tiny_wave(0)]
    logp = [score(m.lm, m.prompts(m.encode(waves)), [answer], 512)[0].detach() for m in (speechlm, plain)]
    torch.testing.assert_close(logp[0], logp[1], atol=1e-4, rtol=0)
    assert plain.core.generation_config.eos_token_id == speechlm.lm.end_ids
    assert not any("lora" in name for name, _ in plain.core.named_parameters())


OF_TRANSFORMERS = [
    "qwen2_audio",
    "audioflamingo3",
    "glmasr",
    "musicflamingo",
    "qwen3_asr",
    "voxtral",
    "qwen2_5_omni_thinker",
    "qwen3_omni_moe_thinker",
    "phi4_multimodal",
    "gemma4",
    "gemma4_unified",
    "nemotron_h_omni",
]
"""The families whose class is of transformers and needs nothing that rba does not install."""


@torch.no_grad()
@pytest.mark.parametrize("family", each(OF_TRANSFORMERS))
def test_the_class_of_transformers_alone_gives_the_log_probs_of_the_aligned_model(exported, family):
    speechlm, out = exported(family)
    plain = getattr(transformers, AUDIO_LMS[family].model_class).from_pretrained(out).eval()
    answer, inputs = [40, 41, 42, 2], speechlm.inputs(tiny_wave(0))
    inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([answer])], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    logits = plain(**inputs).logits[0, -len(answer) - 1 : -1]
    (ours,) = score(speechlm.lm, speechlm.prompts(speechlm.encode([tiny_wave(0)])), [answer], 512)
    torch.testing.assert_close(logits.log_softmax(-1)[range(len(answer)), answer], ours, atol=1e-4, rtol=0)


def test_which_model_is_asked_where_there_are_several(run, tmp_path):
    with pytest.raises(DataError, match=r"no such final model .*choose one of: rba-group"):
        export_model(run, "transformers", tmp_path / "out", "sft")
    with pytest.raises(DataError, match="no final model"):
        export_model(tmp_path, "transformers", tmp_path / "out")
    for method in ("a", "b"):
        (tmp_path / "final" / method).mkdir(parents=True)
        (tmp_path / "final" / method / "speechlm.json").write_text("{}")
    with pytest.raises(DataError, match="give --method: a, b"):
        export_model(tmp_path, "transformers", tmp_path / "out")


def test_a_folder_that_holds_something_is_left_alone(run, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(WorkspaceError, match="not empty"):
        export_model(run, "transformers", tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        ["--to", "transformers", "--pairs"],
        ["--to", "transformers", "--split", "test"],
        ["--to", "hf", "--method", "sft"],
    ],
)
def test_options_that_mean_nothing_are_refused(run, tmp_path, capsys, words):
    assert cli.main(["export", str(run), "--out", str(tmp_path / "out"), *words]) == 2
    assert "means nothing with --to" in capsys.readouterr().err


def _shown(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What the Python of a model card prints, run in its folder; 8 tokens instead of 160."""
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(folder)
    capsys.readouterr()
    exec(code.replace("max_new_tokens=160", "max_new_tokens=8, do_sample=False"), {})
    return capsys.readouterr().out.removesuffix("\n")


CARDS = [
    pytest.param(family, library, marks=needs(family))
    for library, families in {
        "transformers": ["qwen2_audio", "audioflamingo3", "glmasr", "musicflamingo", "qwen3_asr"],
        "rba": ["voxtral", "qwen2_5_omni_thinker", "gemma4", "ultravox"],
    }.items()
    for family in families
]
TASK = "Answer in one word: {}"
SHORT = Sampling(temperature=0.0, max_new_tokens=8)


def test_the_card_of_an_llm_tells_how_it_is_opened_and_what_it_is(run, tmp_path, monkeypatch, capsys):
    make_run(tmp_path / "run", instructions=10, voices=1, seconds=0.2)
    final = tmp_path / "run" / "final" / "rba-group"
    told(load_speechlm(run / "final" / "rba-group", "float32"), TASK).save(final)
    recipe = replace(recipe_for(tmp_path / "run"), task=TaskSettings(TASK))
    (final / "recipe.yaml").write_text(recipe.to_yaml())
    export_model(tmp_path / "run", "transformers", tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text()
    front = document.parse(text.split("---\n")[1], "card")
    assert (front["library_name"], front["pipeline_tag"], len(front["base_model"])) == (
        "transformers",
        "text-generation",
        1,
    )
    for said in (
        "It answers typed requests",
        "| **RBA-Group** | 0.400 (0.379 – 0.421) |",
        "LC win rate",
        TASK,
        "## Limits",
    ):
        assert said in text
    assert "rba report" not in text and "speechlm.json" not in text
    ours = ask(load_speechlm(final, "float32"), text="Name three fruits.", sampling=SHORT)
    assert _shown(tmp_path / "out", monkeypatch, capsys).strip() == ours.text


@pytest.mark.parametrize(("family", "library"), CARDS)
def test_the_card_of_an_audio_lm_lets_it_hear(family, library, tmp_path, monkeypatch, capsys):
    speechlm = told(load_speechlm(save_tiny_audio_lm(tmp_path / "start", family), "float32"), TASK)
    final = tmp_path / "run" / "final" / "sft"
    speechlm.save(final)
    (final / "recipe.yaml").write_text(recipe_for(tmp_path / "run").to_yaml())
    export_model(tmp_path / "run", "transformers", tmp_path / "out")
    soundfile.write(tmp_path / "out" / "question.wav", tiny_wave(0), 16_000, subtype="FLOAT")
    text = (tmp_path / "out" / "README.md").read_text()
    assert f"library_name: {library}" in text
    assert "pipeline_tag: audio-text-to-text" in text and "This run has no evaluation yet" in text
    sampling = SHORT if library == "transformers" else DEFAULT_SAMPLING
    assert _shown(tmp_path / "out", monkeypatch, capsys).strip() == ask(speechlm, tiny_wave(0), sampling=sampling).text


def test_the_command_names_the_model(run, tmp_path, capsys):
    assert cli.main(["export", str(run), "--to", "transformers", "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"rba-group in {tmp_path / 'out'}\n"
