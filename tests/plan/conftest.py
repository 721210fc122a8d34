"""What the tests of plans share: a toy recipe whose models are configurations without weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rba.plan.assumptions import Assumptions
from rba.plan.item import Item, Stage
from rba.plan.plan import Options, Plan, make_plan
from rba.recipe import load_recipe
from rba.testing.tiny_speechlm import save_tiny_speechlm

TOY = """
name: toy
synthesis:
  {train: 6, validation: 1, test: 1, shard_size: 8, batch: 8, query_tokens: 8, answer: {max_new_tokens: 10}}
speech: {voices: 2, acoustics: clean}
align:
  methods: [sft]
  steps: 3
  groups_per_step: 2
  sample: {max_new_tokens: 6}
  lora: {rank: 2}
  dtype: float32
  validation: {every: 0}
  adaptive: {drift_every: 0}
evaluate: {instructions: 1, voices: 2, cascade: '', teacher_again: 1, dtype: float32, answer: {max_new_tokens: 6}}
"""
WEIGHTS = 2 * (32 * 32 + 2 * 32 * 16 + 32 * 32 + 3 * 32 * 64)
"""The weight matrices of the tiny LLM: two blocks of width 32, four heads, two of keys and values, 64 inside."""
ROUND = Assumptions(
    answered=0.75,
    kept=0.5,
    drawn_tokens=4,
    words=10,
    tokens_a_word=1,
    teacher_fill=0.5,
    reference_fill=0.5,
    own_fill=1,
    seconds_a_word=0.5,
    hibari_speed=80,
)
"""Assumptions that can be reckoned with in one's head."""

Planner = Callable[..., Plan]


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SpeechLM folder whose LLM and encoder have configurations alone."""
    folder = save_tiny_speechlm(tmp_path_factory.mktemp("bare") / "speechlm")
    for part in ("llm", "whisper"):
        for weights in (folder / part).glob("*.safetensors"):
            weights.unlink()
    return folder


@pytest.fixture
def toy(bare: Path, tmp_path: Path) -> Planner:
    """`toy(*overrides, assumed=..., **options)`: the plan of the toy recipe."""
    (tmp_path / "toy.yaml").write_text(TOY)

    def plan(*overrides: str, assumed: Assumptions = ROUND, **options: object) -> Plan:
        names = (f"model={bare}", f"teacher={bare / 'llm'}")
        recipe = load_recipe(tmp_path / "toy.yaml", [*names, *overrides])
        return make_plan(recipe, Options(assumed=assumed, **options))  # type: ignore[arg-type]

    return plan


def stage(plan: Plan, name: str) -> Stage:
    """The stage of that name."""
    return next(one for one in plan.stages if one.name == name)


def item(plan: Plan, name: str, what: str) -> Item:
    """The item of a stage whose name begins so."""
    return next(one for one in stage(plan, name).items if one.what.startswith(what))
