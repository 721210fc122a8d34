"""A user's own rewards: found by module and name, sync or async, refused in one line."""

import sys

import pytest

from rba.errors import RecipeError
from rba.rewards.calls import is_async
from rba.rewards.custom import code_hashes, load_custom
from rba.rewards.reward import load_reward

CODE = """
import asyncio

def brevity(completions, **kwargs):
    return [-len(c) for c in completions]

async def later(prompts, completions, completion_ids, **kwargs):
    await asyncio.sleep(0)
    return [float(len(ids)) for ids in completion_ids]

class Bonus:
    def __call__(self, completions, reference, **kwargs):
        return [float(c == r) for c, r in zip(completions, reference)]

class Broken:
    def __init__(self):
        raise OSError("no licence\\nfor this")

NUMBER = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The user's file `own_rewards.py` in the working folder."""
    (tmp_path / "own_rewards.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path / "own_rewards.py"
    sys.modules.pop("own_rewards", None)


def test_functions_coroutines_and_classes_of_a_file_in_the_working_folder_are_rewards(own):
    reward = load_reward("own_rewards:brevity + 2*own_rewards:later - own_rewards:Bonus + recall")
    values = reward(["q", "q"], ["ab", "abc"], [[1], [1, 2]], reference=["ab", "x"])
    assert values == [-2 + 2 * 1 - 1 + 1, -3 + 2 * 2 - 0 + 0]
    assert list(reward.parts_values) == ["own_rewards:brevity", "own_rewards:later", "own_rewards:Bonus", "recall"]
    assert is_async(load_custom("own_rewards:later")) and not is_async(load_custom("own_rewards:brevity"))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("no_such_module_here:f", "No module named"),
        ("own_rewards:absent", "has no attribute"),
        ("own_rewards:Broken", "no licence for this"),
        ("own_rewards:NUMBER", "a reward is a function, not int"),
    ],
)
def test_what_cannot_be_a_reward_is_refused_in_one_line(own, name, why):
    with pytest.raises(RecipeError, match=why) as caught:
        load_reward(name)
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_a_module_that_does_not_parse_is_refused(own):
    own.with_name("bad_rewards.py").write_text("def f(:")
    with pytest.raises(RecipeError, match="SyntaxError"):
        load_custom("bad_rewards:f")


def test_an_edit_of_the_file_changes_its_hash(own):
    before = code_hashes("own_rewards:brevity + recall")
    own.write_text(CODE + "\n# edited\n")
    after = code_hashes({"own_rewards:brevity": 1.0})
    assert before.keys() == after.keys() == {"own_rewards:brevity"}
    assert before != after
    assert code_hashes("recall") == {}
