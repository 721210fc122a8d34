"""CTC training: batches, schedule, masks, learning and exact resume."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from rba.connect import ctc
from rba.connect.ctc_loss import ctc_nll
from rba.connect.features import FeatureStore
from rba.connect.settings import CtcSettings
from rba.errors import DataError
from rba.models.connector import Connector, ConnectorConfig


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 200), min_size=1, max_size=80), st.integers(0, 5))
def test_a_pass_holds_every_utterance_once_within_the_budget(lengths, seed):
    lengths = np.array(lengths)
    batches = ctc.plan_batches(lengths, 400, np.random.default_rng(seed))
    assert sorted(i for b in batches for i in b) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * lengths[batch].max() <= 400


def test_masks_hide_about_the_asked_share_of_steps():
    frames, mask = torch.ones(64, 100, 40), torch.ones(64, 100, dtype=torch.bool)
    hidden = ctc.hide(frames, mask, 0.1, np.random.default_rng(0))
    share = float((hidden.sum(-1) == 0).float().mean())
    assert 0.06 < share < 0.13
    assert torch.equal(ctc.hide(frames, mask, 0.0, np.random.default_rng(0)), frames)


GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
def test_the_loss_and_its_gradients_are_those_of_the_plain_path(device, monkeypatch):
    monkeypatch.setattr("rba.connect.ctc_loss.ROWS", 16)
    torch.manual_seed(0)
    sizes, targets = torch.tensor([9, 6, 40, 3]), [[3, 3, 7], [1, 2], [9, 4, 9, 9, 2], [1, 2, 3, 4]]
    steps = int(sizes.sum())
    query, blank = torch.randn(steps, 16, requires_grad=True), torch.randn(steps, requires_grad=True)
    keys, bias = torch.randn(50, 16), torch.randn(50, requires_grad=True)
    logp = torch.cat([blank[:, None], query @ keys.T + bias], 1).log_softmax(-1)
    padded = torch.nn.utils.rnn.pad_sequence(list(logp.split(sizes.tolist())))
    labels, lengths = torch.tensor([1 + t for target in targets for t in target]), torch.tensor([3, 2, 5, 4])
    plain = F.ctc_loss(padded, labels, sizes, lengths, reduction="none", zero_infinity=True)
    assert plain[3] == 0  # three steps cannot hold four tokens
    ours = ctc_nll(*(x.to(device) for x in (query, blank, keys, bias)), targets, sizes).cpu()
    assert torch.isclose(ours, plain.sum(), rtol=1e-6)
    for a, b in zip(
        torch.autograd.grad(2 * ours, (query, blank, bias)),
        torch.autograd.grad(2 * plain.sum(), (query, blank, bias)),
    ):
        assert torch.allclose(a, b, atol=1e-3)  # the recursion itself is that exact in float32


class Spell:
    """A vocabulary of three letters."""

    def encode(self, text):
        return ["abc".index(letter) + 10 for letter in text]


@pytest.fixture
def store(tmp_path):
    """Utterances whose frames show their letters: eight frames a letter, then eight of silence."""
    rng, rows, frames = np.random.default_rng(0), [], []
    for _ in range(24):
        text = "".join(rng.choice(list("abc"), 3))
        shown = [np.eye(6)["abc".index(letter) + 1] for letter in text]
        clip = np.concatenate([np.concatenate([np.tile(s, (8, 1)), np.tile(np.eye(6)[0], (8, 1))]) for s in shown])
        frames.append(clip.astype(np.float16))
        rows.append({"text": text, "speaker": "x", "acoustics": "clean", "length": len(clip)})
    (tmp_path / "f").mkdir()
    np.save(tmp_path / "f" / "00000.npy", np.concatenate(frames))
    (tmp_path / "f" / "00000.json").write_text(json.dumps(rows))
    return FeatureStore(tmp_path / "f")


def fresh():
    torch.manual_seed(0)
    config = ConnectorConfig(features=6, stack=4, width=32, layers=1, heads=2, kernel=3, dropout=0.1)
    return Connector(config, [10, 11, 12], torch.randn(20, 16))


@GPU
def test_a_step_on_a_gpu_is_one_on_the_cpu(store):
    features = [store.features(i) for i in range(6)]
    wanted = [fresh().rows(Spell().encode(row.text)) for row in store.rows[:6]]
    losses = [
        ctc.ctc_loss(fresh().to(device).eval(), features, wanted, 0.1, np.random.default_rng(0))
        for device in ("cpu", "cuda")
    ]
    assert torch.isclose(losses[0], losses[1].cpu(), rtol=3e-2)  # the GPU's autocast rounds to bfloat16


def train(connector, store, folder, passes=1.0, **kwargs):
    plan = CtcSettings(passes=passes, batch_steps=64, lr=1e-2, mask=0.02)
    options = {"seed": 1, "minutes": 0.0, "log": lambda r: None, "validate": lambda c: 0.0} | kwargs
    ctc.train(connector, store, Spell(), plan, folder=folder, **options)


def test_it_learns_to_read(store, tmp_path):
    connector = fresh()
    train(connector, store, tmp_path / "ctc", passes=30)
    heard = [connector.read(connector.logprobs([store.features(i).float()])[0]) for i in range(len(store))]
    right = sum(h == Spell().encode(row.text) for h, row in zip(heard, store.rows))
    assert right >= 22


def test_a_stopped_training_ends_where_an_unbroken_one_does(store, tmp_path):
    whole = fresh()
    train(whole, store, tmp_path / "whole", passes=3)

    class Stop(Exception):
        pass

    def stop(record):
        if record.get("pass") == 1 and "wer" in record:
            raise Stop

    stopped = fresh()
    with pytest.raises(Stop):
        train(stopped, store, tmp_path / "stopped", passes=3, log=stop)
    resumed = fresh()
    train(resumed, store, tmp_path / "stopped", passes=3)
    for (name, a), b in zip(whole.state_dict().items(), resumed.state_dict().values()):
        assert torch.equal(a, b), name


def test_texts_that_no_utterance_is_long_enough_for_are_refused_in_one_line(store, tmp_path):
    store.rows[:] = [replace(row, text="abc" * 40) for row in store.rows]
    with pytest.raises(DataError, match=r"none of 24 utterances has a step for each token.*connect\.ctc\.stack 4"):
        train(fresh(), store, tmp_path / "ctc")


def test_impossible_targets_are_counted_before_training():
    assert ctc._needed([1, 2, 3]) == 3
    assert ctc._needed([1, 1, 2, 2]) == 6
