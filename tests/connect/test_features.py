"""Shards of encoded speech: whole also where nothing in them can be said."""

import numpy as np
import pytest
import torch

from rba.connect.features import FeatureStore, Job, ShardMaker, make_features
from rba.errors import AudioError, ModelError


class Encoder:
    width = 3

    def __call__(self, waves):
        return [torch.full((len(wave) // 320, self.width), float(len(wave))) for wave in waves]


class Engine:
    """Says what holds no digit, as noise."""

    def say(self, text, speaker, seed):
        if any(sign.isdigit() for sign in text):
            raise AudioError("cannot be said", text)
        return np.random.default_rng(seed).normal(0, 0.1, 3200 * len(text)).astype(np.float32)


def shard(folder, index, *texts):
    return ShardMaker(Encoder(), Engine())(Job(index, texts, str(folder), "none", "train", 40, ("clean",), seed=0))


def test_a_shard_in_which_nothing_can_be_said_is_empty(tmp_path):
    assert shard(tmp_path, 0, "1", "2") == 2
    empty = np.load(tmp_path / "00000.npy")
    assert (empty.shape, empty.dtype) == ((0, 3), np.float16)
    assert (len(store := FeatureStore(tmp_path)), store.frames) == (0, 0)


def test_a_store_reads_on_past_an_empty_shard(tmp_path):
    assert (shard(tmp_path, 0, "1"), shard(tmp_path, 1, "two", "3", "four")) == (1, 1)
    store = FeatureStore(tmp_path)
    assert [row.text for row in store.rows] == ["two", "four"]
    assert [len(store.features(i)) for i in range(2)] == [row.length for row in store.rows]
    assert store.features(1).shape[1] == 3 and store.features(1).dtype == torch.float16


def test_an_encoder_that_cannot_be_loaded_is_named_and_no_worker_is_waited_for(tmp_path):
    settings = {"split": "train", "speakers": 4, "acoustics": ("clean",), "seed": 0, "workers": 1}
    with pytest.raises(ModelError, match='did you mean "whisper-base"'):
        make_features(["a cat"], tmp_path, encoder="whisper-bse", **settings)


def test_shards_that_were_finished_before_a_stop_are_not_made_again(tmp_path):
    shard(tmp_path, 0, "one")
    settings = {"split": "train", "speakers": 4, "acoustics": ("clean",), "seed": 0, "workers": 1}
    assert make_features(["one"], tmp_path, encoder="nobody loads it", **settings) == 0
    assert len(FeatureStore(tmp_path)) == 1
