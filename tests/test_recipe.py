"""Recipes: YAML with overrides and inheritance, resolved into one frozen object that writes itself back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rba.alignment.settings import AlignSettings
from rba.cli import main
from rba.errors import RecipeError
from rba.lm.sampling import Sampling
from rba.recipe import Recipe, load_recipe
from rba.speech.settings import SpeechSettings

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))


@pytest.fixture
def write(tmp_path):
    """`write("a.yaml", text)` makes a recipe file and gives its path."""

    def make(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return make


def test_an_empty_recipe_has_the_defaults_and_the_name_of_its_file(write):
    recipe = load_recipe(write("mine.yaml", ""))
    assert recipe == Recipe("mine")
    assert recipe.folder == Path("runs/mine")


def test_sections_and_overrides_are_read(write):
    path = write("mine.yaml", "seed: 3\nalign: {steps: 7, sample: {top_p: 0.9}}\nsynthesis:\n  train: 16\n")
    recipe = load_recipe(path, ["align.lr=2e-4", "align.methods=[sft, rba-group]", "align.steps=9", "output=/data/x"])
    assert (recipe.seed, recipe.align.steps, recipe.align.lr, recipe.synthesis.train) == (3, 9, 2e-4, 16)
    assert recipe.align.methods == ("sft", "rba-group")
    assert recipe.align.sample == Sampling(top_p=0.9)
    assert recipe.folder == Path("/data/x")


@pytest.mark.parametrize("method", ["rba-group", "rba-opd", "grpo", "rloo", "tars"])
def test_a_method_that_compares_answers_needs_two_of_them_by_voices_or_by_answers(method):
    def made(spoken: int, **align):
        return Recipe("r", speech=SpeechSettings(voices=spoken), align=AlignSettings(methods=(method,), **align))

    assert made(2) and made(1, answers=2) and made(1, mix=("other",))
    for spoken, align in ((1, {}), (4, {"voices": 1}), (4, {"voices": 1, "mix": ("other",)})):
        with pytest.raises(RecipeError, match=f"{method} compares answers"):
            made(spoken, **align)


def test_methods_that_compare_nothing_learn_from_one_answer():
    alone = AlignSettings(methods=("sft", "kd", "opd", "ppo", "rba-single"))
    Recipe("r", speech=SpeechSettings(voices=1), align=alone)
    Recipe("r", speech=SpeechSettings(voices=1), align=replace(alone, methods=("dpo",), answers=2))


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("align.metods=[sft]", "unknown key (align.metods); did you mean align.methods?"),
        ("algn.lr=1", "unknown key (algn); did you mean align?"),
        ("align.lr=fast", "expected a number, found 'fast' (text) (align.lr)"),
        ("align.steps=0", "(align.steps); give 1 or more"),
        ("align.methods=[sfd]", "align.methods: sfd"),
        ("speech.voices=0", "(speech.voices)"),
        ("align.sample.top_p=2", "impossible sampling settings (align.sample: "),
        ("align.refresh=on_line", "did you mean online?"),
        ("align=3", "expected a section with keys, found 3 (whole number) (align)"),
        ("seed=-1", "the seed cannot be negative"),
        (
            "evaluate.benchmarks=[{name: b, format: voicebench, source: x, subset: songs}]",
            'subset: "songs"); VoiceBench has alpacaeval, ',
        ),
        (
            "evaluate.conditions={names: [engine], engine: hibari}",
            "an engine that the run does not speak with (evaluate.conditions.engine hibari); name another engine",
        ),
        (
            "align={voices: 1, methods: [sft, grpo]}",
            "grpo compares answers to an instruction with each other, and here each has only one (align.answers 1, "
            "align.voices 1, speech.voices 4); give it 2 or more answers, or 2 or more voices",
        ),
        ("align={methods: [sft], variants: {lone: {method: tars, voices: 1}}}", "lone compares answers"),
        ("name=a/b", "a name holds letters, digits"),
        ("extends=x.yaml", "unknown key (extends)"),
        ("align.lr=.inf", "(align.lr)"),
        ("align.lr", "an override is written key=value (align.lr)"),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_code_2(write, capsys, override, line):
    assert main(["show-config", str(write("mine.yaml", "name: mine")), override]) == 2
    said = capsys.readouterr().err
    assert line in said and said.startswith("rba: error: ") and said.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("align: {lr: 1\n", r"not valid YAML.*mine\.yaml, line 2"),
        ("- a\n- b", r"a recipe is a mapping of keys to values.*mine\.yaml"),
        ("extends: [a]", "extends names one other recipe"),
        ("extends: gone.yaml", r"no such recipe.*gone\.yaml"),
        ("extends: mine.yaml", "in a circle"),
    ],
)
def test_a_faulty_file_is_named(write, text, line):
    with pytest.raises(RecipeError, match=line) as caught:
        load_recipe(write("mine.yaml", text))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="not UTF-8"):
        load_recipe(tmp_path / "a.yaml")
    with pytest.raises(RecipeError, match="cannot read the recipe"):
        load_recipe(tmp_path)


def test_a_recipe_lies_over_the_one_it_extends(write):
    write("base.yaml", "name: base\noutput: runs/precious\nseed: 3\nalign: {steps: 7, lr: 1e-3}\n")
    (write("x", "").parent / "sub").mkdir()
    recipe = load_recipe(write("sub/child.yaml", "extends: ../base.yaml\nalign:\n  lr: 2e-3\n"))
    assert (recipe.seed, recipe.align.steps, recipe.align.lr) == (3, 7, 2e-3)


def test_a_reward_is_replaced_as_a_whole(write):
    write("below.yaml", "align: {reward: {recall: 1, deaf: -1}}")
    above = write("above.yaml", "extends: below.yaml\nalign: {reward: {similarity: 1}}")
    assert load_recipe(above).align.reward == {"similarity": 1}
    assert load_recipe(above, ["align.reward={bleu: 2}"]).align.reward == {"bleu": 2}


def test_the_home_of_nobody_is_one_clear_line(write, capsys):
    assert main(["show-config", "~nobody-here/x.yaml"]) == 2
    assert main(["run", str(write("a.yaml", "")), "output=~nobody-here/run"]) == 2
    assert capsys.readouterr().err.count("nobody here has this home folder (~nobody-here") == 2


def test_name_and_run_folder_are_never_inherited(write):
    """Else a variant would overwrite the results of what it varies."""
    write("base.yaml", "name: base\noutput: runs/precious\n")
    recipe = load_recipe(write("child.yaml", "extends: base.yaml"))
    assert (recipe.name, recipe.output) == ("child", "runs/child")


def test_show_config_prints_a_recipe_that_loads_as_the_same(write, capsys):
    path = write("mine.yaml", "align: {lr: 2e-5, lora: {targets: [q_proj]}}")
    assert main(["show-config", str(path), "seed=4"]) == 0
    shown = write("shown.yaml", capsys.readouterr().out)
    assert load_recipe(shown) == load_recipe(path, ["seed=4"])


numbers = st.floats(1e-12, 1e12)
overrides = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.integers(0, 2**63),
        "align.lr": numbers,
        "align.steps": st.integers(1, 10**9),
        "align.lam_single": st.none() | numbers,
        "align.sample.temperature": numbers,
        "align.use_reference": st.booleans(),
        "synthesis.temperatures": st.lists(numbers, min_size=1, max_size=3),
        "evaluate": st.just({}),
    },
)


@settings(deadline=None, max_examples=30)
@given(overrides, st.text(alphabet=st.characters(codec="utf-8")))
def test_any_recipe_survives_the_way_through_its_file(tmp_path_factory, changes, system):
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "a.yaml").write_text("name: a")
    words = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
    recipe = load_recipe(folder / "a.yaml", words)
    recipe = replace(recipe, synthesis=replace(recipe.synthesis, system=system))
    (folder / "b.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    assert load_recipe(folder / "b.yaml") == recipe


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_the_recipes_of_the_project_load(path):
    assert load_recipe(path).name == path.stem


def test_there_are_recipes():
    assert {"tiny", "ci"} <= {path.stem for path in RECIPES}
