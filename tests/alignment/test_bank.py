"""Every clip is encoded once; a bad clip is left out, with the reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rba.alignment.bank import build_bank
from rba.models.compact import CompactSpeechLM
from rba.testing.tiny_utterances import tiny_utterances

ROWS = tiny_utterances(2, 2)
IDS = [row.id for row in ROWS]


def test_the_prompts_are_the_models_own(speechlm: CompactSpeechLM):
    from rba.data import audio

    bank, lost = build_bank(speechlm, ROWS, keep_features=False)
    features = [f.half().float() for f in speechlm.encode([audio.decode(row.audio) for row in ROWS])]
    for ours, own in zip(bank.current(IDS), speechlm.prompts(features)):
        torch.testing.assert_close(ours, own, atol=1e-5, rtol=0)
    assert not lost


def test_a_clip_that_cannot_be_heard_is_left_out_with_the_reason(speechlm: CompactSpeechLM):
    rows = [replace(ROWS[0], audio=b"noise"), *ROWS[1:]]
    bank, lost = build_bank(speechlm, rows, keep_features=False)
    assert lost == {ROWS[0].id: "audio cannot be decoded"}
    assert ROWS[0].id not in bank
    assert ROWS[1].id in bank


def test_with_a_frozen_connector_policy_and_start_share_their_prompts(speechlm: CompactSpeechLM):
    bank, _ = build_bank(speechlm, ROWS, keep_features=False)
    assert all(a is b for a, b in zip(bank.initial(IDS), bank.current(IDS)))


def test_with_a_trained_connector_prompts_carry_its_gradient_and_the_start_is_kept(speechlm: CompactSpeechLM):
    bank, _ = build_bank(speechlm, ROWS, keep_features=True)
    before = [p.clone() for p in bank.initial(IDS)]
    for parameter in speechlm.connector_parameters():
        parameter.requires_grad_(True)
    assert all(p.requires_grad for p in bank.current(IDS))
    with torch.no_grad():
        for parameter in speechlm.connector_parameters():
            parameter.mul_(1.5)
    assert all(torch.equal(a, b) for a, b in zip(before, bank.initial(IDS)))
    # the chat frame is the same; the speech between is another
    assert any(a.shape != b.shape or not torch.equal(a, b) for a, b in zip(before, bank.current(IDS)))


@pytest.mark.parametrize("keep_features", [False, True])
def test_what_was_encoded_is_read_back_by_the_next_method(
    tmp_path: Path, speechlm: CompactSpeechLM, keep_features: bool
):
    rows = [replace(ROWS[0], audio=b"noise"), *ROWS[1:]]
    first, lost = build_bank(speechlm, rows, keep_features, tmp_path)
    speechlm.encode = None  # type: ignore[assignment,method-assign]
    second, lost_again = build_bank(speechlm, rows, keep_features, tmp_path)
    assert lost == lost_again
    for a, b in zip(first.initial(IDS[1:]), second.initial(IDS[1:])):
        assert torch.equal(a, b)


def mapped_and_held(speechlm: CompactSpeechLM, folder: Path, keep_features: bool, monkeypatch: pytest.MonkeyPatch):
    """Two banks from the same files of a clip or two: one reads them as needed, one holds them."""
    monkeypatch.setattr("rba.alignment.encoded.PIECE", 2)
    rows = [*ROWS, replace(ROWS[0], id="noise", audio=b"noise")]
    banks = [build_bank(speechlm, rows, keep_features, folder, in_memory=limit) for limit in (0.0, 1.0)]
    assert [lost for _, lost in banks] == [{"noise": "audio cannot be decoded"}] * 2
    return banks[0][0], banks[1][0]


@pytest.mark.parametrize("keep_features", [False, True])
def test_speech_past_the_limit_stays_in_its_files_and_is_the_same(
    tmp_path: Path, speechlm: CompactSpeechLM, keep_features: bool, monkeypatch: pytest.MonkeyPatch
):
    mapped, held = mapped_and_held(speechlm, tmp_path, keep_features, monkeypatch)
    assert len(list(tmp_path.glob("*.safetensors"))) == (5 if keep_features else 3)
    (first,), (again,) = mapped.initial(IDS[:1]), mapped.initial(IDS[:1])
    assert first is not again  # read anew each time
    assert held.initial(IDS[:1])[0] is held.initial(IDS[:1])[0]
    for way in ("initial", "current"):
        for a, b in zip(getattr(mapped, way)(IDS), getattr(held, way)(IDS)):
            assert torch.equal(a, b)
