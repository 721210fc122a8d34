"""Every family passes the checks of a SpeechLM, and a model that is broken in one way fails the check for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from releases import each, needs

from rba.models.bridge import lacking
from rba.models.clips import clips_of, only_one
from rba.models.conformance import Finding, Subject, conformance, conformance_table, examine
from rba.models.conformance_checks import CHECKS
from rba.models.families import FAMILIES
from rba.models.load import load_speechlm
from rba.testing.family_table import ROWS, WAVES, WINDOWS, examine_family, family_table, with_table
from rba.testing.tiny_audio_lm import BUILDERS, save_tiny_audio_lm, tiny_audio_lm


def finding(name: str, speechlm: Any, **parts: Any) -> Finding:
    check = next(check for check in CHECKS if check.name == name)
    return examine(check, Subject(speechlm, WAVES, **parts))


def findings(speechlm: Any, **parts: Any) -> dict[str, Finding]:
    return {found.name: found for found in conformance(speechlm, WAVES, **parts)}


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Finding]]:
    """`family(name)`: what the checks say of a tiny model of that family, which is saved and opened where it can be."""

    @cache
    def examined(name: str) -> list[Finding]:
        if name in FAMILIES and (reason := lacking(FAMILIES[name])):
            pytest.skip(reason)
        return examine_family(name, tmp_path_factory.mktemp(name))

    return examined


@pytest.mark.parametrize("name", ROWS)
def test_every_family_passes(name: str, family: Callable[[str], list[Finding]]):
    found = family(name)
    assert {f.name: f.seen for f in found if not f.passed} == {}
    assert [f.name for f in found] == [check.name for check in CHECKS]


@pytest.mark.parametrize(
    "name",
    each(["qwen2_audio", "phi4_multimodal", "gemma3n", "gemma4", "gemma4_unified", "ultravox", "desta25", "salmonn"]),
)
def test_it_passes_in_half_precision(name: str, tmp_path: Path):
    found = findings(load_speechlm(save_tiny_audio_lm(tmp_path, name), "bfloat16"))
    assert {name: f.seen for name, f in found.items() if not f.passed} == {}


def test_every_family_has_a_tiny_model_or_is_another_name_of_one():
    tried = {FAMILIES[name].title for name in BUILDERS}
    assert {entry.title for entry in FAMILIES.values()} == tried


def test_windows_and_states_take_the_plain_path_and_say_so(family: Callable[[str], list[Finding]]):
    shares = {name: next(f for f in family(name) if f.name == "shares") for name in ROWS}
    plain = {name for name, found in shares.items() if found.seen.startswith("nothing is shared")}
    assert plain == {"gemma3n", "gemma4", "gemma4_unified", "nemotron_h_omni", WINDOWS}


def test_the_table_of_the_documentation_is_what_the_checks_say(family: Callable[[str], list[Finding]]):
    table = family_table({name: family(name) for name in ROWS})
    written = (Path(__file__).parents[2] / "docs" / "families.md").read_text(encoding="utf-8")
    assert table in written, "write it anew: python -m rba.testing.family_table docs/families.md"


def test_a_table_takes_the_place_of_the_one_before():
    old = "| family | hears |\n| --- | --- |\n| one | pass |\n"
    new = "| family | hears |\n| --- | --- |\n| one | pass |\n| two | **fails** |\n"
    assert with_table(f"before\n\n{old}\nafter\n", new) == f"before\n\n{new}\nafter\n"
    with pytest.raises(ValueError, match="0 tables"):
        with_table("no table", new)


def _deaf(model: Any) -> Any:
    with torch.no_grad():
        for parameter in model.connector_parameters():
            parameter.zero_()
    return model


def _other_prompts(model: Any) -> Any:
    prompts = model.prompts
    model.prompts = lambda features, system=None: [p[1:] for p in prompts(features, system)]
    return model


def _other_text(model: Any) -> Any:
    prompts = model.text_prompts
    model.text_prompts = lambda texts, system=None: [1.5 * p for p in prompts(texts, system)]
    return model


def _shorter_text(model: Any) -> Any:
    prompts = model.text_prompts
    model.text_prompts = lambda texts, system=None: [p[1:] for p in prompts(texts, system)]
    return model


def _padded(model: Any) -> Any:
    encode = model.encode

    def together(waves: Any) -> list[torch.Tensor]:
        length = max(map(len, waves))
        return encode([np.pad(wave, (0, length - len(wave))) for wave in waves])

    model.encode = together
    return model


def _scaled_by_its_batch(model: Any) -> Any:
    encode = model.encode

    def together(waves: Any) -> list[torch.Tensor]:
        return [row * len(waves) for row in encode(waves)]

    model.encode = together
    return model


def _hears_the_last(model: Any) -> Any:
    prompts = model.prompts
    model.prompts = lambda features, system=None: prompts([clips_of(heard)[-1] for heard in features], system)
    return model


def _in_any_order(model: Any) -> Any:
    prompts = model.prompts
    model.prompts = lambda features, system=None: prompts(
        [sorted(clips_of(heard), key=lambda clip: float(clip.sum())) for heard in features], system
    )
    return model


def _together_otherwise(model: Any) -> Any:
    prompts = model.prompts
    model.prompts = lambda features, system=None: [
        p * (1.5 if len(clips_of(heard)) > 1 else 1.0) for p, heard in zip(prompts(features, system), features)
    ]
    return model


def _knows_one_clip(model: Any) -> Any:
    prompts = model.prompts

    def alone(features: Any, system: Any = None) -> list[torch.Tensor]:
        if not all(isinstance(heard, torch.Tensor) for heard in features):
            raise only_one("this model", "mine")
        return prompts(features, system)

    model.prompts = alone
    return model


def _wrong_end(model: Any) -> Any:
    model.lm = replace(model.lm, end_ids=[0, 2])
    return model


def _unknown_end(model: Any) -> Any:
    model.lm = replace(model.lm, end_ids=[0])
    return model


def _no_end(model: Any) -> Any:
    model.lm = replace(model.lm, end_ids=[])
    return model


def _template_without_end(model: Any) -> Any:
    model.lm.tokenizer.chat_template = model.lm.tokenizer.chat_template.replace("<|im_end|>", "")
    return model


def _cut(model: Any) -> Any:
    prompts = model.prompts
    model.prompts = lambda features, system=None: [p.detach() for p in prompts(features, system)]
    return model


def _no_connector(model: Any) -> Any:
    model.connector_parameters = lambda: iter(())
    return model


def _trained_encoder(model: Any) -> Any:
    encode = model.encode
    model.encode = lambda waves: [row.requires_grad_() for row in encode(waves)]
    return model


def _adapters_everywhere(model: Any) -> Any:
    model.lora_targets = lambda targets: targets
    return model


BROKEN: dict[Callable[[Any], Any], tuple[str, str]] = {
    _deaf: ("hears", "the model is deaf"),
    _other_prompts: ("own forward", "log-probs differ by up to"),
    _other_text: ("reads", "log-probs differ by up to"),
    _shorter_text: ("reads", "tokens, the prompt"),
    _padded: ("batches", "beside a longer one"),
    _scaled_by_its_batch: ("batches", "features of a clip differ by"),
    _hears_the_last: ("clips", "one is not heard in its place: 0.0e+00 nats for a silent first"),
    _in_any_order: ("clips", "one is not heard in its place: 0.0e+00 nats for the other order"),
    _together_otherwise: ("clips", "or from its own forward pass"),
    _wrong_end: ("ends", "<|endoftext|> is taught, the template ends a turn with <|im_end|>"),
    _unknown_end: ("ends", "<|im_end|>, which is no end token"),
    _no_end: ("ends", "no token that ends a turn"),
    _template_without_end: ("ends", "no special token after an answer"),
    _cut: ("trains", "the gradient of the connector is 0"),
    _no_connector: ("trains", "the connector has no weights"),
    _trained_encoder: ("trains", "the encoder is not frozen"),
    _adapters_everywhere: ("trains", "audio_tower"),
}


@pytest.mark.parametrize("breaking", BROKEN)
def test_a_broken_model_fails_the_check_for_it(breaking: Callable[[Any], Any]):
    name, words = BROKEN[breaking]
    found = finding(name, breaking(tiny_audio_lm()))
    assert not found.passed
    assert words in found.seen


def test_a_model_of_one_clip_a_prompt_passes_where_it_says_so():
    found = finding("clips", _knows_one_clip(tiny_audio_lm()))
    assert (found.passed, found.seen) == (True, "one clip per prompt: this model takes no more")
    assert "| one clip |" in conformance_table({"mine": [found]})


def test_a_model_whose_own_forward_pass_takes_one_clip_passes_and_says_so():
    model: Any = tiny_audio_lm()
    forward = model.core.forward

    def alone(input_ids: Any = None, input_features: Any = None, **kwargs: Any) -> Any:
        if input_features is not None and len(input_features) > len(input_ids):
            raise ValueError("one clip a text")
        return forward(input_ids=input_ids, input_features=input_features, **kwargs)

    model.core.forward = alone
    found = finding("clips", model)
    assert found.passed
    assert found.seen.endswith("nats from the same prompt alone; its own forward pass takes one: one clip a text")
    assert not finding("clips", _hears_the_last(model)).passed


@needs("glmasr")
def test_a_mask_by_another_name_than_the_model_reads_is_told():
    model: Any = tiny_audio_lm("glmasr")
    inputs, names = model.inputs, {"input_features_mask": "feature_attention_mask"}
    model.inputs = lambda wave, system=None: {names.get(k, k): v for k, v in inputs(wave, system).items()}
    found = [finding(name, model) for name in ("hears", "own forward", "batches")]
    assert [f.passed for f in found] == [True, False, True]  # it goes on without a mask
    assert found[1].seen == "the model's forward pass does not take what its processor makes: feature_attention_mask"


def test_sharing_that_changes_log_probs_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rba.lm.scorer.shared_rows", lambda prompts: min(map(len, prompts)) - 2)
    found = finding("shares", tiny_audio_lm())
    assert not found.passed and "from a whole pass each" in found.seen


def test_generation_that_scoring_would_not_write_is_found(monkeypatch: pytest.MonkeyPatch):
    from rba.lm.generation import Completion

    def babble(lm: Any, prompts: Any, sampling: Any, seeds: Any) -> list[list[Completion]]:
        row = Completion([7] * sampling.max_new_tokens, [-1.0] * sampling.max_new_tokens, False, "")
        return [[row] for _ in prompts]

    monkeypatch.setattr("rba.models.conformance_checks.generate", babble)
    assert not finding("generates", tiny_audio_lm()).passed
    assert finding("stops", tiny_audio_lm()).seen == "an end token was written as token 1, and 12 were written"


def test_a_checkpoint_that_forgets_its_adapter_is_found():
    found = finding("reloads", tiny_audio_lm(), reopen=lambda folder, dtype: tiny_audio_lm())
    assert not found.passed and "from the model before it was saved" in found.seen


def test_a_check_that_cannot_run_has_failed_and_the_others_go_on():
    def refuse(folder: Path, dtype: str) -> Any:
        raise OSError("no such folder\nmore")

    *others, last = conformance(tiny_audio_lm(), WAVES, reopen=refuse)
    assert (last.passed, last.seen) == (False, "it cannot be run: OSError: no such folder")
    assert all(found.passed for found in others)
