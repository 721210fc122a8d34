"""`rba check`: a line for each check in plain words, and an exit code that scripts can rely on."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
from safetensors.torch import load_file, save_file

from rba import cli
from rba.models.adapters import add_lora
from rba.models.conformance_checks import CHECKS
from rba.models.load import load_speechlm
from rba.testing.tiny_audio_lm import save_tiny_audio_lm
from rba.testing.tiny_speechlm import save_tiny_speechlm
from rba.testing.tiny_utterances import tiny_wave


@pytest.fixture
def recordings(tmp_path: Path) -> list[str]:
    """Two recordings that say different things."""
    paths = [str(tmp_path / f"{i}.wav") for i in range(2)]
    for i, path in enumerate(paths):
        soundfile.write(path, tiny_wave(i, 0.5 + i / 2), 16_000)
    return paths


def test_a_model_that_passes_ends_with_0(tmp_path: Path, recordings: list[str], capsys: pytest.CaptureFixture[str]):
    folder = save_tiny_audio_lm(tmp_path / "model")
    assert cli.main(["check", str(folder), "--wav", *recordings]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(CHECKS) + 1
    assert all(line.startswith(f"pass  {check.claim}: ") for line, check in zip(lines, CHECKS))
    assert lines[-1] == f"{folder}: {len(CHECKS)} of {len(CHECKS)} checks passed"


def test_a_model_that_fails_ends_with_1(tmp_path: Path, recordings: list[str], capsys: pytest.CaptureFixture[str]):
    folder = save_tiny_audio_lm(tmp_path / "model")
    weights = folder / "model.safetensors"
    deaf = {k: 0 * v if "multi_modal_projector" in k else v for k, v in load_file(weights).items()}
    assert deaf != {}
    save_file(deaf, weights, metadata={"format": "pt"})
    assert cli.main(["check", str(folder), "--wav", *recordings]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("FAIL  the audio matters: the model is deaf: ")
    assert lines[-1].endswith(" failed")


def test_a_chat_template_that_places_no_audio_is_told(
    tmp_path: Path, recordings: list[str], capsys: pytest.CaptureFixture[str]
):
    folder = save_tiny_audio_lm(tmp_path / "model")
    (folder / "chat_template.jinja").write_text("{% for turn in messages %}<|im_start|>{{ turn.role }}{% endfor %}")
    capsys.readouterr()
    assert cli.main(["check", str(folder), "--wav", *recordings]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"rba: error: the chat template has no place for audio ({folder}); ")
    assert said.count("\n") == 1


def test_a_model_with_an_adapter_of_its_own_passes(tmp_path: Path, recordings: list[str]):
    speechlm = load_speechlm(save_tiny_speechlm(tmp_path / "base"), "float32")
    add_lora(speechlm, 16, 32)
    speechlm.save(tmp_path / "aligned")
    assert cli.main(["check", str(tmp_path / "aligned"), "--wav", *recordings]) == 0


def test_without_recordings_it_is_spoken_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["check", str(save_tiny_audio_lm(tmp_path / "model"))]) == 0


@pytest.mark.parametrize(
    ("config", "words", "line"),
    [
        (None, [], "no SpeechLM checkpoint here"),
        ('{"model_type": "llama"}', [], 'its model_type is "llama"'),
        ('{"model_type": "qwen2_audio"}', [], "cannot load the audio LM"),
        ("{", [], "cannot load the audio LM"),
        (None, ["--wav", "one.wav"], "one recording cannot show that the audio matters"),
        (None, ["--wav", "one.wav", "two.wav"], "one.wav"),
    ],
)
def test_what_cannot_be_opened_ends_with_2_and_one_line(
    config: str | None, words: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    assert cli.main(["check", str(tmp_path), *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith("rba: error: ") and line in said and said.count("\n") == 1
