"""IFEval's checks against answers worked by hand, its two scores, and the rows that its loader refuses."""

import json
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rba.errors import DataError, RecipeError
from rba.evaluation.benchmarks import scorers
from rba.evaluation.benchmarks.formats import ifeval
from rba.evaluation.benchmarks.item import Item
from rba.evaluation.benchmarks.needs import check
from rba.evaluation.benchmarks.settings import BenchmarkSettings
from rba.evaluation.ifeval.arguments import arguments
from rba.evaluation.ifeval.checks import CHECKS, OF_LANGUAGE
from rba.evaluation.ifeval.score import followed, loosely_followed, variants
from rba.evaluation.ifeval.text import related, sentences, tokens

ENGLISH = "the children walked along the river until they reached the old bridge and then they went home"
FRENCH = "les enfants marchaient le long de la rivière jusqu'au vieux pont, puis ils sont rentrés à la maison"
RUSSIAN = "дети шли вдоль реки, пока не дошли до старого моста, а потом вернулись домой"
REQUEST = "Write a poem. Make it short."

CASES = {
    "keywords:existence": (
        {"keywords": ["river", "U.S."]},
        ["The RIVERS of the u.s. flow", "a river, U.S."],
        ["only a river", "a river in the UXSX", "U.S."],
    ),
    "keywords:frequency": (
        {"keyword": " tea ", "frequency": 2, "relation": "at least"},
        ["Tea and tea", "tea tea tea", "a teapot of TEA"],
        ["tea", "coffee"],
    ),
    "keywords:forbidden_words": (
        {"forbidden_words": ["name", "old man"]},
        ["rename it", "my names", "an old-fashioned man"],
        ["My Name is", "the OLD MAN", "name-tag"],
    ),
    "keywords:letter_frequency": (
        {"letter": "E", "let_frequency": 3, "let_relation": "less than"},
        ["bee", "Ed ate", "no such thing"],
        ["freeze", "EeE"],
    ),
    "language:response_language": ({"language": "fr"}, [FRENCH, FRENCH.upper(), "12 345"], [ENGLISH, RUSSIAN]),
    "length_constraints:number_sentences": (
        {"num_sentences": 3, "relation": "at least"},
        ["One. Two! Three?", 'He said "no." She left. Why', "**Bold.** Next. Last", "It doesn't. It can't. So"],
        ["One. Two", "Dr. Smith met J. Jones. Bye.", "Pi is 3.14. Yes.", "Wait... and... see"],
    ),
    "length_constraints:number_paragraphs": (
        {"num_paragraphs": 2},
        ["one\n***\ntwo", "***\none\n***\ntwo\n***", "one *** two"],
        ["one\n\ntwo", "one", "one\n***\n\n***\ntwo", "one***two***three"],
    ),
    "length_constraints:number_words": (
        {"num_words": 4, "relation": "less than"},
        ["one two three", "well-known man", "..."],
        ["one two three four", "a well-known man", "it's so fine"],
    ),
    "length_constraints:nth_paragraph_first_word": (
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Then"},
        ["first\n\nthen it came", 'first\n\n"Then," he said', "first\n\nTHEN!"],
        ["then\n\nfirst", "first\nthen", "first\n\nthen\n\nlast", "\n\nfirst\n\nthen", "a\n\nthence", "a\n\n'"],
    ),
    "detectable_content:number_placeholders": (
        {"num_placeholders": 2},
        ["[name] of [address]", "[a][b][c]", "[] []"],
        ["[name]", "(name) (address)", "[name [address]", "[one\n] [two]"],
    ),
    "detectable_content:postscript": (
        {"postscript_marker": "P.S."},
        ["Bye\n\nP.S. I came", "so p. s. more", "P.P.S. x P.S."],
        ["Bye\nPS I came", "P.S I came", "p.\n\ns."],
    ),
    "detectable_format:number_bullet_lists": (
        {"num_bullets": 2},
        ["* one\n* two", "- one\n  * two", "So:\n-one\n*two\nend"],
        ["* one", "* one\n* two\n* three", "**one**\n**two**", "1. one\n2. two"],
    ),
    "detectable_format:constrained_response": (
        {},
        ["My answer is yes.", "  My answer is no. ", "Well: My answer is maybe."],
        ["My answer is yes", "my answer is yes.", "Yes.", "My answer is perhaps."],
    ),
    "detectable_format:number_highlighted_sections": (
        {"num_highlights": 2},
        ["*one* and *two*", "**one** and **two**", "*a* b **c**"],
        ["*one*", "**", "* * * *", "*one\ntwo*", "__one__ __two__"],
    ),
    "detectable_format:multiple_sections": (
        {"section_spliter": " Section ", "num_sections": 2},
        ["Section 1\nx\nSection 2\ny", "Section1 Section 22 Section 3"],
        ["Section 1", "SECTION 1 SECTION 2", "Section A Section B"],
    ),
    "detectable_format:json_format": (
        {},
        ['{"a": 1}', '```json\n{"a": [1]}\n```', "```\n[]\n```", "```JSON\n1```"],
        ["a: 1", '{"a": 1} so', '```json\n{"a"}\n```', "{'a': 1}", "[" * 100_000],
    ),
    "detectable_format:title": (
        {},
        ["<<A day>>\ntext", "text <<B>>"],
        ["<A day>", "<<>>", "<< >>", "<<A\nday>>", "<<<>>>"],
    ),
    "combination:two_responses": (
        {},
        ["one\n******\ntwo", "******one******two******"],
        ["one", "one******one ", "one***two", "a******b******c", "a************b"],
    ),
    "combination:repeat_prompt": (
        {"prompt_to_repeat": f" {REQUEST}\n"},
        [f"{REQUEST}\nRoses", f"  {REQUEST.upper()} Roses", REQUEST],
        [f"Sure! {REQUEST}", "Write a poem. Roses", "Roses"],
    ),
    "startend:end_checker": (
        {"end_phrase": "That is all. "},
        ["So. That is all.", "so. THAT IS ALL. \n", '"So. That is all."'],
        ["That is all. Bye", "So. That is all", "That is all.*"],
    ),
    "startend:quotation": ({}, ['"hello"', ' "a" and "b"\n', '""'], ["hello", '"hello', '"', "'hello'", "“hello”"]),
    "change_case:capital_word_frequency": (
        {"capital_frequency": 2, "capital_relation": "at least"},
        ["NASA and ESA", "I'm sure I can", "DON'T go", "**LOUD** and: LOUD!", "I think I"],
        ["AND/OR", "NASA", "A-B c", "U.S. law", "Nasa Esa", "O'BRIEN", "OK3"],
    ),
    "change_case:english_capital": (
        {},
        [ENGLISH.upper(), ENGLISH.upper() + " 12!"],
        [ENGLISH, ENGLISH.capitalize(), FRENCH.upper(), "12"],
    ),
    "change_case:english_lowercase": (
        {},
        [ENGLISH, ENGLISH + " 12!"],
        [ENGLISH.upper(), ENGLISH.capitalize(), FRENCH, "12"],
    ),
    "punctuation:no_comma": ({}, ["one; two", "1.000", "一、二"], ["one, two", ",", "1,000"]),
}
FOLLOWS = [(name, answer) for name, (_, good, _) in CASES.items() for answer in good]
FAILS = [(name, answer) for name, (_, _, bad) in CASES.items() for answer in bad]
ANSWERS = st.one_of(
    st.text(alphabet="aI*-\n .,\"'[]<>1SP#`é", max_size=60),
    st.sampled_from([answer for _, answer in FOLLOWS + FAILS if len(answer) < 200]),
    st.text(max_size=40),
)


def test_every_published_check_is_worked_here():
    assert set(CASES) == set(CHECKS)
    assert len(CHECKS) == 25


@pytest.mark.parametrize(("name", "answer"), FOLLOWS)
def test_an_answer_that_follows(name, answer):
    assert CHECKS[name](answer, **CASES[name][0]) is True


@pytest.mark.parametrize(("name", "answer"), FAILS, ids=[f"{name}-{i}" for i, (name, _) in enumerate(FAILS)])
def test_an_answer_that_does_not(name, answer):
    assert CHECKS[name](answer, **CASES[name][0]) is False


@pytest.mark.parametrize(("marker", "answer", "holds"), [
    ("P.P.S", "Bye. p. p. s so", True),
    ("P.P.S", "Bye. P.P.S. so", True),
    ("P.P.S", "Bye. P.S. so", False),
    ("Note:", "Bye. NOTE: so", True),
    ("N.B", "Bye. NxB so", False),
])  # fmt: skip
def test_other_postscript_markers(marker, answer, holds):
    assert CHECKS["detectable_content:postscript"](answer, postscript_marker=marker) is holds


@pytest.mark.parametrize(("nth", "holds"), [(0, False), (1, False), (2, True), (3, False), (9, False)])
def test_a_paragraph_that_is_not_there_does_not_begin_with_the_word(nth, holds):
    values = {"num_paragraphs": 2, "nth_paragraph": nth, "first_word": "then"}
    assert CHECKS["length_constraints:nth_paragraph_first_word"]("first\n\nthen", **values) is holds


def test_the_two_relations_part_at_the_bound():
    assert [related(n, "at least", 3) for n in (2, 3, 4)] == [False, True, True]
    assert [related(n, "less than", 3) for n in (2, 3, 4)] == [True, False, False]
    with pytest.raises(ValueError, match="at most"):
        related(1, "at most", 3)


@pytest.mark.parametrize(("text", "count"), [
    ("", 0),
    ("...", 0),
    ("No end", 1),
    ("A list\n- one\n- two", 1),
    ("Why?! Because. So there", 3),
    ("1. First it boils. 2. Then it cools.", 4),
    ("1. first it boils", 1),
    ("mr. and MRS. Smith Jr. came. I know what I. He too.", 3),
    ("DON'T. YOU CAN'T. STOP.", 3),
    ("So... He went", 2),
    ("See e.g. this, i.e. that. Good.", 2),
])  # fmt: skip
def test_counting_sentences(text, count):
    assert len(sentences(text)) == count


def test_tokens_keep_what_is_within_a_word_and_part_its_clitics():
    assert tokens("I'm at A-B/C, U.S. **NOW** (don't)--ever...") == [
        *("I", "'m", "at", "A-B/C", "U.S.", "NOW", "do", "n't", "ever")
    ]


def test_the_eight_forms_of_an_answer():
    assert variants("*a*\n b\n*c*") == [
        *("*a*\n b\n*c*", "b\n*c*", "*a*\n b", "b"),
        *("a\n b\nc", "b\nc", "a\n b", "b"),
    ]
    assert variants("one line") == ["one line", "", "", "", "one line", "", "", ""]


@pytest.mark.parametrize(("name", "answer"), [
    ("startend:quotation", '*"hello"*'),
    ("startend:quotation", 'Sure:\n"hello"'),
    ("startend:quotation", '"hello"\nDone.'),
    ("startend:quotation", 'Sure:\n**"hello"**\nDone.'),
    ("startend:end_checker", "**So. That is all.**"),
    ("detectable_format:json_format", 'Here it is:\n```json\n{"a": 1}\n```'),
    ("combination:repeat_prompt", f"**{REQUEST}**\nRoses"),
])  # fmt: skip
def test_an_answer_that_only_the_loose_score_accepts(name, answer):
    assert followed(answer, [name], [CASES[name][0]]) == [False]
    assert loosely_followed(answer, [name], [CASES[name][0]]) == [True]


def test_each_instruction_may_take_another_form():
    checks = ["startend:quotation", "detectable_format:number_highlighted_sections"]
    assert loosely_followed('*Sure* *so*:\n"hello"', checks, [{}, {"num_highlights": 2}]) == [True, True]


@pytest.mark.parametrize("blank", ["", " \n\t"])
def test_a_blank_answer_follows_nothing(blank):
    names = list(CHECKS)
    values = [CASES[name][0] for name in names]
    assert followed(blank, names, values) == loosely_followed(blank, names, values) == [False] * 25


def test_an_answer_of_asterisks_alone_is_blank_once_they_are_gone():
    assert loosely_followed("***", ["punctuation:no_comma", "startend:quotation"], [{}, {}]) == [True, False]


def test_keys_that_are_none_and_keys_of_other_checks_do_not_matter():
    padded = {"num_words": None, "relation": None, "keywords": None, "num_bullets": 2, "letter": "x"}
    assert followed("* a\n* b", ["detectable_format:number_bullet_lists"], [padded]) == [True]
    assert arguments("detectable_format:number_bullet_lists", padded) == {"num_bullets": 2}


def test_checks_without_their_kwargs_are_not_dropped():
    with pytest.raises(ValueError, match="shorter"):
        followed("a", ["punctuation:no_comma", "startend:quotation"], [{}])


@settings(max_examples=150, deadline=None)
@given(ANSWERS, st.lists(st.sampled_from(sorted(CHECKS)), max_size=6))
def test_loose_never_falls_below_strict(answer, names):
    values = [CASES[name][0] for name in names]
    strict, loose = followed(answer, names, values), loosely_followed(answer, names, values)
    assert len(strict) == len(loose) == len(names)
    assert all(isinstance(one, bool) for one in strict + loose)
    assert all(wide >= narrow for wide, narrow in zip(loose, strict))


@settings(deadline=None)
@given(ANSWERS, st.integers(0, 6))
def test_of_two_opposite_bounds_one_holds(answer, bound):
    for name, key, relation, others in [
        ("keywords:frequency", "frequency", "relation", {"keyword": "a"}),
        ("keywords:letter_frequency", "let_frequency", "let_relation", {"letter": "a"}),
        ("length_constraints:number_sentences", "num_sentences", "relation", {}),
        ("length_constraints:number_words", "num_words", "relation", {}),
        ("change_case:capital_word_frequency", "capital_frequency", "capital_relation", {}),
    ]:
        both = [CHECKS[name](answer, **others, **{key: bound, relation: r}) for r in ("at least", "less than")]
        assert sorted(both) == [False, True]


def rows(tmp_path, *kept):
    file = tmp_path / "test.jsonl"
    file.write_text("".join(json.dumps({"key": 7, "prompt": "Write.", **row}) + "\n" for row in kept))
    return list(ifeval.load(BenchmarkSettings("following", "ifeval", str(file))))


WORDS = {"num_words": 3, "relation": "at least"}
TWO = ["punctuation:no_comma", "length_constraints:number_words"]


@pytest.mark.parametrize("row", [
    {"instruction_id_list": TWO, "kwargs": [{}, WORDS]},
    {"instruction_id_list": TWO, "kwargs": [None, {**WORDS, "num_words": 3.0, "letter": None}]},
    {"instruction_id_list": TWO, "kwargs": json.dumps([{}, WORDS])},
    {"instruction_id_list": json.dumps(TWO), "kwargs": json.dumps([None, WORDS])},
])  # fmt: skip
def test_a_row_as_it_may_be_stored(tmp_path, row):
    (item,) = rows(tmp_path, {**row, "answer": "unused"})
    assert (item.id, item.text, item.references) == ("7", "Write.", ())
    assert item.facts == {"checks": TWO, "kwargs": [{}, WORDS]}


@pytest.mark.parametrize(("row", "words"), [
    ({"instruction_id_list": ["startend:rhyme"], "kwargs": [{}]}, "unknown check startend:rhyme"),
    ({"instruction_id_list": TWO}, "kwargs of its length"),
    ({"instruction_id_list": [["startend:quotation"]], "kwargs": [{}]}, "no instruction_id_list"),
    ({"kwargs": [{}]}, "no instruction_id_list"),
    ({"instruction_id_list": [], "kwargs": []}, "no instruction_id_list"),
    ({"instruction_id_list": TWO, "kwargs": [{}]}, "kwargs of its length"),
    ({"instruction_id_list": TWO, "kwargs": "[{}, {'num_words': 3}]"}, "a list that is not JSON"),
    ({"instruction_id_list": TWO, "kwargs": "3"}, "kwargs of its length"),
    ({"instruction_id_list": TWO, "kwargs": [{}, {"num_words": 3}]}, f"no relation for {TWO[1]}"),
    ({"instruction_id_list": TWO, "kwargs": [{}, {**WORDS, "num_words": None}]}, f"no num_words for {TWO[1]}"),
    ({"instruction_id_list": TWO, "kwargs": [{}, {**WORDS, "num_words": "3"}]}, f"num_words '3' for {TWO[1]}"),
    ({"instruction_id_list": TWO, "kwargs": [{}, {**WORDS, "num_words": 2.5}]}, f"num_words 2.5 for {TWO[1]}"),
    ({"instruction_id_list": TWO, "kwargs": [{}, {**WORDS, "relation": "at most"}]}, "relation 'at most'"),
    ({"instruction_id_list": TWO, "kwargs": [{}, 3]}, f"kwargs of {TWO[1]} that are no mapping"),
    ({"instruction_id_list": ["keywords:existence"], "kwargs": [{"keywords": "a"}]}, "keywords 'a'"),
    ({"instruction_id_list": ["keywords:existence"], "kwargs": [{"keywords": []}]}, "keywords []"),
    ({"instruction_id_list": ["startend:end_checker"], "kwargs": [{"end_phrase": " "}]}, "end_phrase ' '"),
])  # fmt: skip
def test_a_row_that_is_refused_in_one_line(tmp_path, row, words):
    with pytest.raises(DataError) as caught:
        rows(tmp_path, {"instruction_id_list": TWO[:1], "kwargs": [{}], "key": 1}, row)
    assert words in str(caught.value)
    assert caught.value.where.endswith(".jsonl, row 2")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_what_the_loader_keeps_is_what_the_check_takes(name):
    values = CASES[name][0]
    assert arguments(name, values) == values
    for key in values:
        with pytest.raises(ValueError, match=f"no {key} for {name}"):
            arguments(name, {**values, key: None})


def test_the_four_accuracies(tmp_path):
    both = {"instruction_id_list": ["startend:quotation", "punctuation:no_comma"], "kwargs": [{}, {}]}
    one = {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    items = rows(tmp_path, both, both, one, one)
    found = scorers.ifeval(items, ['"all"', '*"loose"*', "one, comma", ""])
    figures = {name: float(measure.statistic(np.ones((1, 4)))[0]) for name, measure in found.items()}
    assert figures == pytest.approx(
        {
            "no_answer": 1 / 4,
            "prompt_strict": 1 / 4,
            "prompt_loose": 2 / 4,
            "instruction_strict": 3 / 6,
            "instruction_loose": 4 / 6,
        }
    )


def asked(name: str) -> list[Item]:
    """One item with this check."""
    return [Item("1", "Answer me.", facts={"checks": [name], "kwargs": [CASES[name][0]]})]


@pytest.mark.parametrize("name", sorted(OF_LANGUAGE))
def test_without_its_package_a_language_check_says_what_to_install_before_any_model_is_asked(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "py3langid", None)
    with pytest.raises(RecipeError) as caught:
        check("b", "ifeval", asked(name))
    assert "py3langid" in str(caught.value) and 'pip install "rba[benchmarks]"' in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_checks_need_no_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "py3langid", None)
    for name in CHECKS.keys() - OF_LANGUAGE:
        check("b", "ifeval", asked(name))
        assert followed(CASES[name][1][0], [name], [CASES[name][0]]) == [True]
