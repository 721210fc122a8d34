"""A SpeechLM's LLM by itself: it answers as it does in its place, or is refused in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from releases import each, needs

from rba.cli import main
from rba.errors import ModelError
from rba.export.llm import llm_alone, write_llm
from rba.lm.load import load_lm
from rba.lm.scorer import score
from rba.models.adapters import adapter_parameters, add_lora
from rba.models.load import load_speechlm
from rba.testing.tiny_audio_lm import BUILDERS, save_tiny_audio_lm, tiny_audio_lm
from rba.testing.tiny_speechlm import save_tiny_speechlm
from rba.testing.tiny_utterances import tiny_wave

NO_CLASS = ("qwen2_5_omni_thinker", "qwen3_omni_moe_thinker")
READS_IDS = ("gemma3n", "gemma4")
HOLDS_TOWERS = ("phi4_multimodal",)
ALONE = [name for name in BUILDERS if name not in (*NO_CLASS, *READS_IDS, *HOLDS_TOWERS)]


def logp(lm: Any, prompts: list[torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat(score(lm, prompts, [[40, 41, 42, 2], [50, 2]], 512))


@pytest.mark.parametrize("family", each(ALONE))
def test_it_answers_as_it_does_inside_the_audio_lm(family: str):
    whole = tiny_audio_lm(family)
    prompts = whole.prompts(whole.encode([tiny_wave(0), tiny_wave(1, 1.0)]))
    alone = llm_alone(whole.lm, family)
    assert alone is not whole.core
    torch.testing.assert_close(
        logp(replace(whole.lm, model=alone.eval()), prompts), logp(whole.lm, prompts), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize(
    ("family", "says"),
    [
        *((name, "no class for this model's LLM by itself.*rollout_server empty") for name in NO_CLASS),
        *((name, "reads more than embeddings") for name in READS_IDS),
        *((name, "holds the towers") for name in HOLDS_TOWERS),
    ],
)
def test_one_that_cannot_stand_by_itself_is_refused(family: str, says: str):
    with pytest.raises(ModelError, match=says):
        llm_alone(tiny_audio_lm(family).lm, family)


def test_the_command_writes_the_compact_models_llm_without_the_adapter(tmp_path: Path, capsys):
    folder = save_tiny_speechlm(tmp_path / "model")
    speechlm = load_speechlm(folder, "float32")
    prompts = speechlm.text_prompts(["Why?", "How so?"])
    base = logp(speechlm.lm, prompts)
    add_lora(speechlm, 4, 8, seed=1)
    with torch.no_grad():
        for parameter in adapter_parameters(speechlm):
            parameter.add_(0.1)
    speechlm.save(tmp_path / "aligned")
    names = (folder / "speechlm.json").read_text()
    (tmp_path / "aligned" / "speechlm.json").write_text(names)
    assert main(["models", "llm", str(tmp_path / "aligned"), str(tmp_path / "llm")]) == 0
    assert str(tmp_path / "llm") in capsys.readouterr().out
    found = load_lm(str(tmp_path / "llm"), "float32")
    assert found.end_ids == speechlm.lm.end_ids
    torch.testing.assert_close(logp(found, prompts), base, atol=0.05, rtol=0)  # it is written in bfloat16
    assert (logp(speechlm.lm, prompts) - base).abs().max() > 0.5


@needs("qwen2_audio")
def test_a_published_audio_lm_is_written_and_a_full_folder_is_refused(tmp_path: Path, capsys):
    folder = save_tiny_audio_lm(tmp_path / "whole", "qwen2_audio")
    write_llm(str(folder), tmp_path / "llm", "float32")
    whole, found = load_speechlm(folder, "float32"), load_lm(str(tmp_path / "llm"), "float32")
    prompts = whole.prompts(whole.encode([tiny_wave(0), tiny_wave(1, 1.0)]))
    torch.testing.assert_close(logp(found, prompts), logp(whole.lm, prompts), atol=1e-5, rtol=0)
    assert main(["models", "llm", str(folder), str(tmp_path / "llm")]) == 2
    assert "not empty" in capsys.readouterr().err
