"""Topics and difficulties, measured on hand-labelled requests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rba.synthesis.tags import (
    DIFFICULTIES,
    DROPPED_TOPICS,
    PAPER_DIFFICULTY_SHARES,
    PAPER_TOPIC_SHARES,
    TOPICS,
    Tagger,
    examples,
)
from synthesis.stand_ins import WordEmbedder

LABELLED = json.loads((Path(__file__).parent / "labelled.json").read_text())


def test_examples_cover_the_papers_topics_and_those_it_leaves_out():
    assert set(examples("topics")) == {*TOPICS, *DROPPED_TOPICS}
    assert tuple(examples("difficulties")) == DIFFICULTIES
    assert min(len(texts) for texts in examples("topics").values()) >= 10


def test_the_papers_shares_are_shares():
    assert sum(PAPER_TOPIC_SHARES.values()) == pytest.approx(1)
    assert sum(PAPER_DIFFICULTY_SHARES.values()) == pytest.approx(1)


def test_no_labelled_request_is_an_example():
    known = {t for name in ("topics", "difficulties") for texts in examples(name).values() for t in texts}
    assert not known & {text for text, _, _ in LABELLED}


def test_an_example_gets_its_own_label_and_order_does_not_matter():
    embedder = WordEmbedder()
    tagger = Tagger(embedder)
    texts = ["Write a poem about the ocean.", "Plan a three day trip to Rome."]
    tags = tagger.tag(texts, embedder.encode(texts))
    assert [t.topic for t in tags] == ["Creative Writing", "Planning"]
    assert tagger.tag(texts[::-1], embedder.encode(texts[::-1])) == tags[::-1]
    assert tagger.tag([], np.zeros((0, 256), np.float32)) == []


@pytest.mark.weights
def test_accuracy_on_the_labelled_requests(weights):
    from rba.lm.embedder import SentenceEmbedder

    weights("all-minilm-l6-v2")
    embedder = SentenceEmbedder()
    texts = [text for text, _, _ in LABELLED]
    tags = Tagger(embedder).tag(texts, embedder.encode(texts))
    steps = np.array([DIFFICULTIES.index(t.difficulty) - DIFFICULTIES.index(d) for t, (_, _, d) in zip(tags, LABELLED)])
    assert np.mean([t.topic == topic for t, (_, topic, _) in zip(tags, LABELLED)]) >= 0.85
    assert np.mean(steps == 0) >= 0.6
    assert np.mean(abs(steps) <= 1) >= 0.95
