"""Requests come from the pre-query template alone, in rounds that can be made again."""

from __future__ import annotations

import pytest

from rba.errors import RecipeError
from rba.lm.preamble import Example, Preamble
from rba.synthesis.queries import draw_queries, grid, openers, tidy
from rba.synthesis.settings import SynthesisSettings
from rba.teachers.local import LocalTeacher
from rba.teachers.teacher import Reply
from rba.testing.tiny_lm import tiny_text_lm
from synthesis.stand_ins import ScriptedTeacher


class Spy(ScriptedTeacher):
    """Remembers what it was asked."""

    def sample_queries(self, seeds, system, sampling, openers=None):
        self.asked = (list(seeds), system, sampling, list(openers))
        return super().sample_queries(seeds, system, sampling, openers)


def ask(settings: SynthesisSettings, index: int = 0, seed: int = 1) -> Spy:
    teacher = Spy()
    draw_queries(teacher, settings, seed, index)
    return teacher


def test_the_grid_is_every_pair_of_temperature_and_nucleus_once():
    cells = grid(SynthesisSettings(query_tokens=33), seed=5)
    assert sorted((c.temperature, c.top_p) for c in cells) == [(t, p) for t in (1.0, 1.1, 1.2) for p in (0.99, 1.0)]
    assert {c.max_new_tokens for c in cells} == {33}


def test_rounds_go_round_the_grid():
    settings = SynthesisSettings()
    drawn = [ask(settings, index).asked[2] for index in range(7)]
    assert len({(s.temperature, s.top_p) for s in drawn[:6]}) == 6
    assert drawn[6] == drawn[0]


def test_no_seed_is_drawn_twice():
    settings = SynthesisSettings(shard_size=50)
    seeds = [s for index in range(20) for s in ask(settings, index).asked[0]]
    assert len(set(seeds)) == 1000


def test_the_domain_is_a_system_turn_only_where_it_is_given():
    assert ask(SynthesisSettings()).asked[1] == Preamble()
    assert ask(SynthesisSettings(system="You help cooks.")).asked[1] == Preamble("You help cooks.")


def test_examples_stand_before_requests_and_before_answers():
    examples = (Example("What do bees make?", "Honey"),)
    settings = SynthesisSettings(system="Ask.", answer_system="Answer.", examples=examples)
    assert ask(settings).asked[1] == Preamble("Ask.", examples)
    assert settings.answer_preamble == Preamble("Answer.", examples)


def test_by_default_no_first_words_are_given():
    assert set(ask(SynthesisSettings()).asked[3]) == {""}


def test_a_share_of_the_requests_gets_distinct_first_words():
    first = [o for o in ask(SynthesisSettings(openers=0.5, shard_size=80)).asked[3] if o]
    assert len(first) == 40 == len(set(first))
    assert set(first) <= set(openers())
    assert len(set(openers())) == len(openers()) > 100


def test_first_words_can_be_the_users_own():
    settings = SynthesisSettings(openers=0.75, shard_size=8, first_words=("Who wrote", "How many"))
    first = ask(settings).asked[3]
    assert sorted(first) == [""] * 2 + ["How many"] * 3 + ["Who wrote"] * 3
    with pytest.raises(RecipeError, match="first_words"):
        SynthesisSettings(first_words=(" ",))


def test_what_runs_on_after_the_first_line_is_no_request():
    class RunsOn(ScriptedTeacher):
        def sample_queries(self, seeds, system, sampling, openers=None):
            return [Reply("Why is it hot?\n\nIt is", False), Reply("Why is it", False), Reply(" Name a fish.", True)]

    def drawn(first_line):
        settings = SynthesisSettings(first_line=first_line, shard_size=3)
        return [(q.text, q.finished) for q in draw_queries(RunsOn(), settings, 1, 0)]

    assert drawn(True) == [("Why is it hot?", True), ("Why is it", False), ("Name a fish.", True)]
    assert drawn(False)[0] == ("Why is it hot?\n\nIt is", False)


def test_a_round_with_a_real_decoder_can_be_made_again():
    settings = SynthesisSettings(shard_size=6, openers=0.5, query_tokens=8)
    rounds = [draw_queries(LocalTeacher(tiny_text_lm()), settings, 3, index) for index in (0, 1, 0)]
    assert rounds[0] == rounds[2] != rounds[1]


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("  What is   tea? ", "What is tea?"),
        ('"What is tea?"', "What is tea?"),
        ("What\u2019s \u201ctea\u201d?", 'What\'s "tea"?'),
        ("What is tea?\n\n Be brief. ", "What is tea?\n\nBe brief."),
        ('"Tea" and "coffee"', '"Tea" and "coffee"'),
    ],
)
def test_tidying_keeps_the_words(raw, clean):
    assert tidy(raw) == clean
