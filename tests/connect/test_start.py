"""Training a connector on: what it knew stays, what is new joins it."""

import json

import numpy as np
import pytest
import torch

from rba.connect.settings import ConnectSettings, CtcSettings
from rba.connect.start import Start
from rba.errors import ModelError, RecipeError
from rba.models.heard import HEARD
from rba.models.load import load_speechlm
from rba.testing.tiny_speechlm import save_tiny_speechlm


@pytest.fixture
def checkpoint(tmp_path):
    folder = save_tiny_speechlm(tmp_path / "tiny")
    np.save(folder / HEARD, np.array([3, 5], np.uint64))
    return folder


def settings(folder, **other):
    return ConnectSettings(encoder=str(folder / "whisper"), llm=str(folder / "llm"), start=str(folder), **other)


def rebuilt(folder, ids, **other):
    table = load_speechlm(folder, "float32").lm.model.get_input_embeddings().weight
    return Start(settings(folder, **other)).connector(16, ids, table)


def test_without_new_tokens_it_hears_what_it_heard(checkpoint):
    before = load_speechlm(checkpoint, "float32").connector.cpu()
    after = rebuilt(checkpoint, before.ids_V.tolist()).eval()
    features = [torch.randn(24, 16, generator=torch.Generator().manual_seed(0))]
    assert torch.equal(before.logprobs(features)[0], after.logprobs(features)[0])


def test_new_tokens_join_with_no_bias_and_the_old_keep_theirs(checkpoint):
    before = load_speechlm(checkpoint, "float32").connector
    with torch.no_grad():
        before.bias_V.copy_(torch.arange(len(before.bias_V)).float() / 64)
    model = load_speechlm(checkpoint, "float32")
    model.connector = before
    model.save(checkpoint)
    (checkpoint / "speechlm.json").write_text(
        json.dumps(
            json.loads((checkpoint / "speechlm.json").read_text())
            | {"encoder": str(checkpoint / "whisper"), "llm": str(checkpoint / "llm")}
        )
    )
    ids = [0, *before.ids_V.tolist()]
    after = rebuilt(checkpoint, ids)
    assert after.bias_V.tolist() == [0.0, *before.bias_V.tolist()]
    assert after.ids_V.tolist() == ids


def test_shape_is_the_checkpoints_and_dropout_the_settings(checkpoint):
    ids = load_speechlm(checkpoint, "float32").connector.ids_V.tolist()
    after = rebuilt(checkpoint, ids, ctc=CtcSettings(width=640, layers=7, dropout=0.25))
    assert (after.config.width, after.config.layers, after.config.dropout) == (16, 1, 0.25)


def test_texts_heard_before_are_known(checkpoint):
    assert Start(settings(checkpoint)).heard.tolist() == [3, 5]
    assert Start(ConnectSettings()).heard.tolist() == []


def test_begin_anew_without_a_start():
    start = Start(ConnectSettings(ctc=CtcSettings(width=16, layers=1)))
    torch.manual_seed(0)
    assert start.token_ids == [] and start.connector(8, [1, 2], torch.randn(4, 6)).config.features == 8


def test_a_connector_of_other_models_is_refused(checkpoint):
    with pytest.raises(ModelError, match=r"belongs to another encoder or LLM .*; use encoder"):
        Start(ConnectSettings(encoder="whisper-base", start=str(checkpoint)))
    with pytest.raises(ModelError, match="no SpeechLM checkpoint here"):
        Start(ConnectSettings(start="nowhere"))


def test_the_starts_weights_have_their_share_in_the_mean(checkpoint):
    before = load_speechlm(checkpoint, "float32").connector
    ids = sorted({*before.ids_V.tolist(), 3, 5})
    trained = rebuilt(checkpoint, ids)
    with torch.no_grad():
        for weight in trained.parameters():
            weight.add_(1.0)
    start = Start(settings(checkpoint))
    start.average(trained, 0.25)
    for name, weight in rebuilt(checkpoint, ids).named_parameters():
        torch.testing.assert_close(dict(trained.named_parameters())[name], weight + 0.75)


def test_without_a_share_nothing_is_changed(checkpoint):
    trained = rebuilt(checkpoint, load_speechlm(checkpoint, "float32").connector.ids_V.tolist())
    kept = {name: weight.clone() for name, weight in trained.named_parameters()}
    Start(settings(checkpoint)).average(trained, 0.0)
    assert all(torch.equal(kept[name], weight) for name, weight in trained.named_parameters())


def test_a_mean_needs_a_start_and_a_share_below_one(checkpoint):
    with pytest.raises(RecipeError, match="no weights to average with"):
        ConnectSettings(ctc=CtcSettings(average=0.5))
    with pytest.raises(RecipeError, match="less than 1"):
        settings(checkpoint, ctc=CtcSettings(average=1.0))
