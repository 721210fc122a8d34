"""A final model in plain transformers: the same logits, and clear faults about which model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from rba import cli
from rba.alignment.scorer import score
from rba.errors import DataError, WorkspaceError
from rba.export.model import export_model
from rba.models.adapters import add_lora, lora_parameters
from rba.models.load import load_speechlm
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
    for parameter in lora_parameters(speechlm):
        parameter.data.normal_(std=0.3, generator=generator)
    speechlm.save(root / "final" / "rba-group")
    return root


@torch.no_grad()
def test_plain_transformers_gives_the_logits_of_the_aligned_model(run, tmp_path):
    assert export_model(run, "transformers", tmp_path / "out") == "rba-group"
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    ours = load_speechlm(run / "final" / "rba-group", "float32").lm
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


@pytest.mark.parametrize("family", ["qwen2_audio", "voxtral", "qwen3_omni_moe_thinker", "phi4_multimodal", "gemma4"])
def test_an_audio_lm_becomes_a_whole_model_of_its_class_again(tmp_path, family):
    speechlm = load_speechlm(save_tiny_audio_lm(tmp_path / "start", family), "float32")
    add_lora(speechlm, rank=4)
    with torch.no_grad():
        for parameter in [*lora_parameters(speechlm), *speechlm.connector_parameters()]:
            parameter.add_(0.05)
    speechlm.save(tmp_path / "run" / "final" / "sft")
    export_model(tmp_path / "run", "transformers", tmp_path / "out")
    plain = load_speechlm(tmp_path / "out", "float32")
    answer, waves = [40, 41, 42, 2], [tiny_wave(0)]
    logp = [score(m.lm, m.prompts(m.encode(waves)), [answer], 512)[0].detach() for m in (speechlm, plain)]
    torch.testing.assert_close(logp[0], logp[1], atol=1e-4, rtol=0)
    assert plain.core.generation_config.eos_token_id == speechlm.lm.end_ids
    assert not any("lora" in name for name, _ in plain.core.named_parameters())


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


def test_the_command_names_the_model(run, tmp_path, capsys):
    assert cli.main(["export", str(run), "--to", "transformers", "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"rba-group in {tmp_path / 'out'}\n"
