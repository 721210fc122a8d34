"""Sums of rewards: what each part gave, scaling, async parts, and that batch mates change nothing."""

import asyncio

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rba.errors import ModelError, RefusalError
from rba.rewards.reward import load_reward
from rba.rewards.summary import length_correlation, summarise
from rba.rewards.weighted import WeightedReward

TEXTS = st.lists(
    st.tuples(
        st.sampled_from(["Capital?", "How many?"]),
        st.sampled_from(["", "Canberra.", "It is Canberra, Canberra.", "I didn't hear you.", "twenty-one", "堪培拉"]),
        st.sampled_from(["Canberra", "It is Canberra.", "21|twenty one", "堪培拉", " "]),
    ),
    min_size=1,
    max_size=8,
)
NO_MODEL = "recall + bleu + bleu-zh + bleu-char + chrf + exact-match + contains - deaf - length - repetition"


def lengths(completions, **columns):
    return [len(c) for c in completions]


async def vowels(completions, **columns):
    await asyncio.sleep(0)
    return [sum(c in "aeiou" for c in text) for text in completions]


async def moody(completions, **columns):
    if "bad" in completions:
        raise ConnectionError
    return [1.0] * len(completions)


def test_plain_functions_of_trls_signature_are_parts_as_they_are():
    reward = WeightedReward([(lengths, 1), (vowels, 10)])
    assert reward(["q"] * 2, ["aha", "hm"], reference=[""] * 2) == [23, 2]
    assert reward.name == "lengths + 10*vowels"
    assert reward.parts_values == {"lengths": [3, 2], "vowels": [2, 0]}


def test_an_async_part_that_fails_on_one_sample_costs_that_sample_only():
    reward = WeightedReward([(moody, 1), (lengths, 1)])
    assert reward(["q"] * 3, ["a", "bad", "ccc"], reference=[""] * 3) == [2, None, 4]
    assert reward.dropped == {"moody: ConnectionError": 1}
    with pytest.raises(ConnectionError):
        reward(["q"] * 2, ["bad", "bad"], reference=[""] * 2)


class Served:
    """A part behind a server that fails as `error` says, for `bad` completions alone if there are any."""

    def __init__(self, error: Exception, bad: str = ""):
        self.error, self.bad, self.calls = error, bad, 0

    def __call__(self, completions, **columns):
        self.calls += 1
        if not self.bad or self.bad in completions:
            raise self.error
        return [1.0] * len(completions)


@pytest.mark.parametrize("answers", [1, 64])
def test_a_server_that_is_gone_is_asked_once_and_told(answers: int):
    gone = Served(ModelError("the server failed 6 times", "http://here", "check that the server runs"))
    with pytest.raises(ModelError, match="failed 6 times"):
        WeightedReward([(gone, 1)])(["q"] * answers, ["a"] * answers, reference=[""] * answers)
    assert gone.calls == 1


def test_an_answer_that_a_server_refuses_goes_without_a_reward():
    reward = WeightedReward([(Served(RefusalError("the server refuses the request"), "bad"), 1)])
    assert reward(["q"] * 3, ["a", "bad", "c"], reference=[""] * 3) == [1, None, 1]
    assert "RefusalError" in next(iter(reward.dropped))


def test_what_is_no_number_at_all_is_counted():
    reward = WeightedReward([(lambda completions, **c: ["high", 2, True], 1)])
    assert reward(["q"] * 3, ["a", "b", "c"], reference=[""] * 3) == [None, 2, 1]
    assert sum(reward.dropped.values()) == 1


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        (10**400, "not finite"),
        (-1e200, "not finite"),
        (torch.tensor(1j), "not a number"),
        (torch.ones(2), "not a number"),
    ],
)
def test_a_number_that_training_cannot_reckon_with_is_counted(odd, why):
    reward = WeightedReward([(lambda completions, **c: [odd, 1], 1)])
    assert reward(["q"] * 2, ["a", "b"], reference=[""] * 2) == [None, 1]
    assert reward.dropped == {f"{reward.name}: {why}": 1}
    assert summarise(reward.parts_values, [1, 2])[f"rewards/{reward.name}/mean"] == 1


def test_too_few_values_are_a_failure():
    with pytest.raises(ValueError, match="gave 1 values for 2"):
        WeightedReward([(lambda completions, **c: [1.0] * (len(completions) // 2), 1)])(
            ["q"] * 2, ["a", "b"], reference="xy"
        )


@pytest.mark.parametrize("given", [None, 0.5, {0: 1.0, 1: 2.0}, "12", b"12"])
def test_a_part_that_gives_no_list_is_named(given):
    def careless(completions, **columns):
        return given

    with pytest.raises(ValueError, match=f"careless gave {given!r} and no list for 2"):
        WeightedReward([(careless, 1)])(["q"] * 2, ["a", "b"], reference="xy")


def test_a_part_may_edit_its_arguments_and_nobody_else_sees_it():
    def edits(prompts, completions, completion_ids, reference, sources):
        completions[:] = ["gone"] * len(completions)
        reference.sort()
        completion_ids[0].append(9)
        sources[0]["name"] = "gone"
        return [0.0] * len(completions)

    seen = []
    prompts, answers, ids, references, sources = ["q"] * 2, ["a", "bb"], [[1], [2]], ["z", "a"], [{"name": "s"}, {}]
    watches = WeightedReward([(edits, 1), (lambda **batch: seen.append(batch) or [1, 2], 1)])
    assert watches(prompts, answers, ids, reference=references, sources=sources) == [1, 2]
    assert (answers, ids, references, sources) == (["a", "bb"], [[1], [2]], ["z", "a"], [{"name": "s"}, {}])
    given = {"prompts": prompts, "completions": answers, "completion_ids": ids, "reference": references}
    assert seen == [{**given, "sources": sources}]


def test_a_column_of_another_length_is_refused_and_what_is_none_is_handed_on():
    reward, state = WeightedReward([(lambda completions, state, size, **c: [state is not None] * 2, 1)]), object()
    assert reward(["q"] * 2, ["a", "b"], reference=("", ""), state=state, size=(1, 2, 3)) == [1, 1]
    with pytest.raises(ValueError, match="reference holds 1 values for 2 completions"):
        reward(["q"] * 2, ["a", "b"], reference=["a"], state=state, size=())
    with pytest.raises(ValueError, match="topic holds 3 values for 2 completions"):
        reward(["q"] * 2, ["a", "b"], reference=["", ""], topic=["x"] * 3, state=state, size=())


def test_a_part_of_weight_zero_is_watched_and_drops_nothing():
    reward = load_reward("recall + 0*length")
    assert reward(["q"] * 2, ["Canberra", "x"], reference=["Canberra", "?"]) == [1, None]
    assert reward.parts_values["length"] == [0, None]
    watched = WeightedReward([(lengths, 1), (lambda **c: [None, float("nan")], 0)])
    assert watched(["q"] * 2, ["a", "bb"], reference=[""] * 2) == [1, 2]
    assert not watched.dropped


def test_scaled_parts_are_of_one_size_whatever_their_unit():
    def metres(completions, **columns):
        return [float(c) for c in completions]

    def millimetres(completions, **columns):
        return [-1000 * float(c) for c in completions]

    answers, prompts = ["1", "2", "3", "10"], ["a", "a", "b", "b"]
    for scaling in ("batch", "group"):
        reward = WeightedReward([(metres, 1), (millimetres, 1)], scaling)
        assert reward(prompts, answers, reference=answers) == pytest.approx([0] * 4, abs=1e-12)
        assert reward.parts_values["metres"] == [1, 2, 3, 10]
    assert WeightedReward([(metres, 2)], "group")(prompts, answers, reference=answers) == [-2, 2, -2, 2]


def test_unknown_scaling_and_repeated_names_are_refused():
    with pytest.raises(ValueError, match="none, batch, group"):
        WeightedReward([(lengths, 1)], "rows")
    with pytest.raises(ValueError, match="same name"):
        WeightedReward([(lengths, 1), (lengths, 2)])


def test_the_summary_has_mean_spread_and_the_pull_of_length_of_each_part():
    found = summarise({"a": [1.0, None, 3.0], "b": [None] * 3}, [1, 9, 2])
    assert found == {"rewards/a/mean": 2, "rewards/a/std": 1, "rewards/a/length_correlation": pytest.approx(1)}


def test_what_does_not_vary_has_no_correlation_with_length():
    assert length_correlation([0.1] * 3, [1, 2, 4]) is None
    assert length_correlation([0.1, 0.2, 0.4], [3] * 3) is None
    assert length_correlation([0.1, None], [1, 2]) is None
    assert length_correlation([0.1, 0.2, 0.4], [1, 2, 4]) == pytest.approx(1)


@settings(deadline=None, max_examples=30)
@given(TEXTS, st.randoms())
def test_a_reward_depends_on_its_own_texts_alone(rows, random):
    reward = load_reward(NO_MODEL)

    def values(chosen):
        prompts, answers, references = (list(column) for column in zip(*chosen))
        return reward(prompts, answers, reference=references)

    together = values(rows)
    shuffled = list(range(len(rows)))
    random.shuffle(shuffled)
    assert values([rows[i] for i in shuffled]) == [together[i] for i in shuffled]
    assert [values([row])[0] for row in rows] == together
