"""Shards of encoded speech: whole also where nothing in them can be said."""

import numpy as np
import pytest
import torch

from rba.connect.features import SHARD, FeatureStore, Job, ShardMaker, make_shards, missing_shards
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
    ShardMaker(Encoder(), Engine())(Job(index, texts, str(folder), "none", "train", 40, ("clean",), seed=0))


def test_a_shard_in_which_nothing_can_be_said_is_empty(tmp_path):
    shard(tmp_path, 0, "1", "2")
    empty = np.load(tmp_path / "00000.npy")
    assert (empty.shape, empty.dtype) == ((0, 3), np.float16)
    assert (len(store := FeatureStore(tmp_path)), store.frames) == (0, 0)


def test_a_store_reads_on_past_an_empty_shard(tmp_path):
    shard(tmp_path, 0, "1")
    shard(tmp_path, 1, "two", "3", "four")
    store = FeatureStore(tmp_path)
    assert [row.text for row in store.rows] == ["two", "four"]
    assert [len(store.features(i)) for i in range(2)] == [row.length for row in store.rows]
    assert store.features(1).shape[1] == 3 and store.features(1).dtype == torch.float16


SETTINGS = {"encoder": "whisper-bse", "split": "train", "speakers": 4, "acoustics": ("clean",), "seed": 0}


def test_an_encoder_that_cannot_be_loaded_is_named_and_no_worker_is_waited_for(tmp_path):
    with pytest.raises(ModelError, match='did you mean "whisper-base"'):
        make_shards(missing_shards(["a cat"], tmp_path, **SETTINGS), workers=1)


def test_only_shards_that_are_missing_are_made(tmp_path):
    shard(tmp_path, 0, "one")
    assert missing_shards(["one"], tmp_path, **SETTINGS) == []
    (second,) = missing_shards(["one"] * SHARD + ["two"], tmp_path, **SETTINGS)
    assert (second.index, second.texts) == (1, ("two",))
