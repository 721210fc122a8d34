"""Dataclasses from YAML: strict types, helpful faults, dotted overrides, and a lossless way back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rba import config, document
from rba.errors import RecipeError
from rba.lm.sampling import Sampling


@dataclass(frozen=True)
class Inner:
    rate: float = 1e-4
    steps: int = 10
    refresh: Literal["once", "per_round", "online"] = "once"
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.7, max_new_tokens=48))

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ValueError("steps cannot be negative")


@dataclass(frozen=True)
class Outer:
    name: str
    flag: bool = False
    note: str | None = None
    methods: list[str] = field(default_factory=lambda: ["sft"])
    files: tuple[str, ...] = ()
    pair: tuple[int, float] = (1, 0.5)
    shares: dict[str, float] = field(default_factory=dict)
    either: int | str = 3
    optional: Inner | None = None
    inner: Inner = field(default_factory=Inner)


def load(text: str) -> Outer:
    """What a YAML text makes."""
    return config.build(Outer, document.parse(text, "test.yaml"))


def fault(text: str) -> str:
    """The one line with which a YAML text is refused."""
    with pytest.raises(RecipeError) as caught:
        load(text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_left_out_has_its_default():
    assert load("name: a") == Outer("a")


def test_a_partly_given_section_keeps_the_defaults_of_its_place():
    """Not those of its class: here the place's own sampling has temperature 0.7 and 48 tokens."""
    sampling = load("{name: a, inner: {sampling: {top_p: 0.9}}}").inner.sampling
    assert sampling == Sampling(temperature=0.7, top_p=0.9, max_new_tokens=48)


def test_every_kind_of_value_is_read():
    made = load(
        """
        name: a
        flag: true
        note: off
        methods: [rba-group]
        files: [x.jsonl]
        pair: [2, 3]
        shares: {yes: 1, no: 0.5}
        either: text
        optional: {steps: 3}
        inner: {rate: 2e-4, refresh: online}
        """
    )
    assert made == Outer(
        "a", True, "off", ["rba-group"], ("x.jsonl",), (2, 3.0), {"yes": 1.0, "no": 0.5}, "text", Inner(steps=3),
        Inner(rate=2e-4, refresh="online"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{name: a, flg: true}", "unknown key (flg); did you mean flag?"),
        ("{name: a, inner: {rat: 1}}", "unknown key (inner.rat); did you mean inner.rate?"),
        ("{name: a, inner: {sampling: {topp: 1}}}", "(inner.sampling.topp); did you mean inner.sampling.top_p?"),
        ("{name: a, inner: {zzz: 1}}", "unknown key (inner.zzz); valid keys here: rate, steps, refresh, sampling"),
        ("{flag: true}", "a key is missing (name); add it with text"),
        ("{name: 135}", "expected text, found 135 (whole number) (name); put it in quotes: \"...\""),
        ("{name: a, flag: 1}", "expected true or false, found 1 (whole number) (flag)"),
        ("{name: a, flag: yes}", "expected true or false, found 'yes' (text) (flag)"),
        ("{name: a, inner: {steps: 1.5}}", "expected a whole number, found 1.5 (number) (inner.steps)"),
        ("{name: a, inner: {steps: true}}", "expected a whole number, found true (true/false) (inner.steps)"),
        ("{name: a, inner: {rate: fast}}", "expected a number, found 'fast' (text) (inner.rate)"),
        ("{name: a, inner: {rate: .nan}}", "expected a number, found nan (number) (inner.rate)"),
        ("{name: a, inner: {rate: null}}", "expected a number, found nothing (inner.rate)"),
        ("{name: a, inner: 3}", "expected a section with keys, found 3 (whole number) (inner); put its keys below it"),
        ("{name: a, methods: sft}", "expected a list of text, found 'sft' (text) (methods)"),
        ("{name: a, methods: [sft, 2]}", "expected text, found 2 (whole number) (methods[1]); put it in quotes"),
        ("{name: a, pair: [1]}", "expected 2 items, found 1 (pair)"),
        ("{name: a, either: [1]}", "expected a whole number or text, found [1] (list) (either)"),
        ("{name: a, note: 3}", "expected text or null, found 3 (whole number) (note)"),
        (
            "{name: a, inner: {refresh: per-round}}",
            "one of once, per_round, online; found 'per-round' (text) (inner.refresh); did you mean per_round?",
        ),
        ("{name: a, inner: {steps: -1}}", "steps cannot be negative (inner)"),
    ],
)  # fmt: skip
def test_a_fault_names_the_key_the_value_and_the_remedy(text, line):
    assert line in fault(text)


def test_what_a_section_refuses_is_reported_with_its_place():
    line = fault("{name: a, inner: {sampling: {temperature: -1}}}")
    assert "impossible sampling settings (inner.sampling: " in line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name: a\nname: b", 'not valid YAML: the key "name" stands twice (test.yaml, line 2)'),
        ("name: [a", "not valid YAML:"),
        ("name: a\n\tflag: true", "line 2)"),
        ("1: a", "the key 1 is not text"),
    ],
)
def test_faulty_yaml_is_named_with_its_line(text, line):
    assert line in fault(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("2e-4", 2e-4), ("1e5", 1e5), ("1.", 1.0), (".5", 0.5), ("-3", -3), ("010", 10), ("12:30", "12:30"), ("on", "on"),
     ("no", "no"), ("true", True), ("~", None), ("2024-01-01", "2024-01-01"), ("1_000", "1_000"), ("e5", "e5"),
     ("-", [None]), ("[a, 1]", ["a", 1])],
)  # fmt: skip
def test_scalars_follow_yaml_1_2(text, value):
    read = document.parse(text, "x")
    assert read == value and type(read) is type(value)


def test_overrides_reach_into_sections_and_the_last_one_wins():
    tree = config.override({"name": "a", "inner": {"rate": 1}}, ["inner.steps=3", "inner.steps=4", "methods=[a, b]"])
    assert tree == {"name": "a", "inner": {"rate": 1, "steps": 4}, "methods": ["a", "b"]}


def test_an_override_may_give_a_whole_section():
    tree = config.override({"inner": {"rate": 1}}, ["inner={steps: 3}"])
    assert tree == {"inner": {"rate": 1, "steps": 3}}


def test_a_section_without_keys_is_refused_as_it_would_drop_what_lies_below():
    tree = config.merge({"name": "a", "inner": {"steps": 9}}, document.parse("inner:", "test"))
    with pytest.raises(RecipeError, match=r"this section is empty \(inner\)"):
        config.build(Outer, tree)


def test_null_takes_away_what_lies_below_under_a_name_of_the_users_own():
    tree = config.merge({"name": "a", "shares": {"x": 1, "y": 2}}, document.parse("shares: {x: null, z: 3}", "test"))
    assert config.build(Outer, tree).shares == {"y": 2.0, "z": 3.0}
    with pytest.raises(RecipeError, match=r"inner\.steps"):
        config.build(Outer, {"name": "a", "inner": {"steps": None}})


def test_an_override_may_hold_an_equals_sign():
    assert config.override({}, ["note=a=b"]) == {"note": "a=b"}


@pytest.mark.parametrize("word", ["steps", "=3", "inner..steps=3", ".=1", "-x"])
def test_an_override_without_key_and_value_is_refused(word):
    with pytest.raises(RecipeError, match="an override is written key=value"):
        config.override({}, [word])


def test_an_override_with_faulty_yaml_is_named():
    with pytest.raises(RecipeError, match=r"override inner\.steps"):
        config.override({}, ["inner.steps=[1"])


def test_overriding_does_not_change_what_it_is_given():
    tree = {"inner": {"rate": 1}}
    config.override(tree, ["inner.rate=2"])
    assert tree == {"inner": {"rate": 1}}


numbers = st.floats(allow_nan=False, allow_infinity=False)
words = st.text()
inners = st.builds(
    Inner,
    rate=numbers,
    steps=st.integers(0),
    refresh=st.sampled_from(["once", "per_round", "online"]),
    sampling=st.builds(Sampling, st.floats(0, 10), st.floats(0.01, 1), st.integers(1, 9999)),
)
outers = st.builds(
    Outer,
    name=words,
    flag=st.booleans(),
    note=st.none() | words,
    methods=st.lists(words, max_size=3),
    files=st.lists(words, max_size=3).map(tuple),
    pair=st.tuples(st.integers(), numbers),
    shares=st.dictionaries(words, numbers, max_size=3),
    either=st.integers() | words,
    optional=st.none() | inners,
    inner=inners,
)


@settings(deadline=None, max_examples=60)
@given(outers)
def test_what_is_dumped_loads_as_the_same(outer):
    text = document.dump(config.to_tree(outer))
    assert config.build(Outer, document.parse(text, "x")) == outer


@pytest.mark.parametrize("word", ["2e-4", "on", "true", "null", "~", "", "007", "a: b", "#x", "- x", ".inf", "é\u2028"])
def test_words_that_look_like_something_else_stay_words(word):
    assert document.parse(document.dump({"a": word}), "x") == {"a": word}
