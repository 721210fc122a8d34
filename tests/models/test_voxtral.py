"""Voxtral's turns: the tokens that mistral-common writes for the same conversations, and audio in whole chunks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from releases import needs
from transformers import PreTrainedTokenizerFast, WhisperFeatureExtractor

from rba.models import turns
from rba.models.voxtral import VoxtralTurns, open_turns
from rba.testing.tekken import SPECIAL, save_tiny_tekken

pytestmark = needs("voxtral")

BOS, EOS, INST, END_INST, PROMPT, END_PROMPT, AUDIO, BEGIN_AUDIO = 1, 2, 3, 4, 17, 18, 24, 25


def ids(text: str) -> list[int]:
    return [byte + len(SPECIAL) for byte in text.encode()]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as Mistral publishes it: `tekken.json` and a Whisper feature extractor, no template."""
    folder = tmp_path_factory.mktemp("voxtral")
    save_tiny_tekken(folder)
    WhisperFeatureExtractor(feature_size=16).save_pretrained(folder)
    return folder


def asked(made: VoxtralTurns, *seconds: float, after: str = "") -> dict[str, torch.Tensor]:
    text = "<s>[INST]" + "[BEGIN_AUDIO][AUDIO]" * len(seconds) + after + "[/INST]"
    waves = [np.full(int(16_000 * s), 0.1, np.float32) for s in seconds]
    return made([text], waves, text_kwargs={"add_special_tokens": False}, audio_kwargs={"sampling_rate": 16_000})


def test_turns_are_those_of_mistral_common(published: Path):
    tokenizer = open_turns(str(published)).tokenizer
    turn = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Héllo there"},
        {"role": "assistant", "content": "ok fine"},
        {"role": "user", "content": [{"type": "text", "text": "again"}]},
    ]
    # what mistral_common 1.13.1 makes of them with the same tekken.json
    system, first = [BOS, PROMPT, *ids("Be brief."), END_PROMPT], [INST, *ids("Héllo there"), END_INST]
    last = [INST, *ids("again"), END_INST]
    assert tokenizer.apply_chat_template(turn)["input_ids"] == [*system, *first, *ids("ok fine"), EOS, *last]
    assert turns.typed_ids(tokenizer, "again") == [BOS, *last]
    assert turns.turn_end(tokenizer) == EOS


@pytest.mark.parametrize(("seconds", "chunks"), [((1.0,), 1), ((30.0,), 1), ((31.0,), 2), ((1.0, 2.0), 2)])
def test_a_chunk_of_half_a_minute_is_375_tokens(published: Path, seconds: tuple[float, ...], chunks: int):
    inputs = asked(open_turns(str(published)), *seconds, after="hi")
    assert inputs["input_features"].shape == (chunks, 16, 3000)
    each = [BEGIN_AUDIO] + [AUDIO] * (375 * chunks // len(seconds))
    assert inputs["input_ids"][0].tolist() == [BOS, INST, *each * len(seconds), *ids("hi"), END_INST]


def test_what_is_saved_is_opened_by_transformers_and_here(published: Path, tmp_path: Path):
    made = open_turns(str(published))
    made.save_pretrained(tmp_path)
    assert (tmp_path / "tekken.json").read_bytes() == (published / "tekken.json").read_bytes()
    (tmp_path / "tekken.json").unlink()
    again = open_turns(str(tmp_path))
    assert torch.equal(asked(again, 1.0)["input_ids"], asked(made, 1.0)["input_ids"])
    other = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert other("Héllo")["input_ids"] == ids("Héllo") and other.chat_template == made.chat_template
