"""Pairs across voices."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rba.alignment.pairs import all_pairs, pair_across_voices, pairs_with_teacher, pairs_within_voices

from .conftest import sample, task

rewards = st.lists(st.one_of(st.none(), st.sampled_from([0.0, 0.25, 0.5, 1.0])), min_size=1, max_size=6)


def samples(values: list[float | None]):
    return [sample(voice, f"answer {voice % 3}", value) for voice, value in enumerate(values)]


def test_the_best_and_the_worst_are_paired():
    found = pair_across_voices(samples([0.2, 0.9, 0.1, 0.5]), 0.0)
    assert (found.outcome, found.chosen, found.rejected) == ("pair", 1, 2)


def test_answers_without_a_reward_are_left_out():
    found = pair_across_voices(samples([None, 0.9, None, 0.5]), 0.0)
    assert (found.chosen, found.rejected) == (1, 3)


def test_what_makes_no_pair_is_named():
    assert pair_across_voices(samples([0.5, 0.5]), 0.0).outcome == "tie"
    assert pair_across_voices(samples([0.5, 0.6]), 0.2).outcome == "tie"
    assert pair_across_voices(samples([None, 0.6]), 0.0).outcome == "unrewarded"
    assert pair_across_voices([sample(0, "a", 0.0), sample(1, "a", 1.0)], 0.0).outcome == "same"


@given(rewards, st.randoms())
def test_the_order_of_the_voices_changes_nothing(values: list[float | None], random):
    drawn = samples(values)
    turned = drawn[:]
    random.shuffle(turned)
    one, other = pair_across_voices(drawn, 1e-6), pair_across_voices(turned, 1e-6)
    assert one.outcome == other.outcome
    if one.outcome == "pair":
        assert (drawn[one.chosen], drawn[one.rejected]) == (turned[other.chosen], turned[other.rejected])


@given(rewards)
def test_a_pair_is_never_worse_than_its_rejected(values: list[float | None]):
    drawn = samples(values)
    found = pair_across_voices(drawn, 1e-6)
    if found.outcome == "pair":
        assert drawn[found.chosen].reward > drawn[found.rejected].reward
        assert drawn[found.chosen].text != drawn[found.rejected].text


def test_answers_equal_to_the_teachers_are_dropped():
    assert pairs_with_teacher(task([sample(0, "no"), sample(1, "yes"), sample(2, " yes ")], voices=3)) == [0]


@given(rewards)
def test_all_pairs_hold_the_best_and_the_worst_and_every_other_gap(values: list[float | None]):
    drawn = samples(values)
    pairs = all_pairs(drawn, 1e-6)
    assert len(set(pairs)) == len(pairs)
    assert all(drawn[i].reward > drawn[j].reward and drawn[i].text != drawn[j].text for i, j in pairs)
    best = pair_across_voices(drawn, 1e-6)
    assert best.outcome != "pair" or (best.chosen, best.rejected) in pairs


def test_within_a_voice_only_its_own_answers_are_compared():
    drawn = [sample(0, "a", 0.1), sample(0, "b", 0.4), sample(1, "c", 0.9), sample(1, "d", None)]
    assert pairs_within_voices(task(drawn, voices=2), 0.0) == [(1, 0)]
