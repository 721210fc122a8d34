"""Everyone who is asked, and every judge that runs a model, is planned once."""

from __future__ import annotations

from pathlib import Path

from rba.testing.tiny_reward_model import save_tiny_reward_model

from .conftest import WEIGHTS, Planner, item, stage

SECOND = "second answers of the teacher"


def test_evaluation_asks_everyone(toy: Planner):
    plan = toy("align.methods=[sft, rba-single]", "evaluate.cascade=whisper-tiny.en")
    counts = {one.what: one.count for one in stage(plan, "evaluation").items}
    asked = {f"answers: {model}": 2 for model in ("cascade", "base", "sft", "rba-single")}
    assert counts == {"clips encoded": 2, "clips transcribed": 2, **asked, "answers: text": 1, SECOND: 1}


PLAYERS = ("base", "sft", "rba-single", "text")


def test_a_pair_of_players_is_judged_once_whoever_is_whose_opponent(toy: Planner):
    judged = ("align.methods=[sft, rba-single]", "evaluate.judges=[recall, pairwise, letter]")

    def count(what: str, *opponents: str) -> float:
        return item(toy(*judged, f"evaluate.opponents=[{', '.join(opponents)}]"), "evaluation", what).count

    for what, each in (("pairs judged", 2), ("pairs judged by letter", 4)):
        assert count(what, "base") == 3 * each
        assert count(what, "base", "sft", "teacher") == (3 + 2 + 4) * each
        assert count(what, *PLAYERS) == 6 * each


def test_a_local_letter_judge_reads_a_question_once_for_both_letters(toy: Planner, bare: Path):
    judged = ("evaluate.judges=[recall, letter]", "evaluate.opponents=[base]")
    here = item(toy(*judged), "evaluation", "pairs judged by letter")
    served = f"evaluate.judge=openai:http://localhost:1/v1#{bare / 'llm'}"
    away = item(toy(*judged, served), "evaluation", "pairs judged by letter")
    question = 130 + (24 + 10 + 6) + 2 * 6  # sft and the reading LLM against the base, each in two orders
    assert (here.count, here.prompt, here.new) == (8, 4 * question + 8 * 2, 0)
    assert (away.count, away.prompt, away.served) == (8, 8 * (question + 2), True)
    # the letter passes, the end of its turn only as a logit
    pairs = question * (question + 1) / 2 + 2 * (question + 1)
    assert here.flops == 4 * (2 * (question + 2) * WEIGHTS + 4 * 2 * 32 * pairs + 2 * 4 * 32 * 259)


def test_a_reward_model_that_judges_scores_every_answer_once_and_takes_memory(toy: Planner, tmp_path: Path):
    judged = ("evaluate.judges=[recall, reward-model]", f"evaluate.reward_model={save_tiny_reward_model(tmp_path)}")
    plan = toy(*judged, "evaluate.opponents=[base, sft]", "align.methods=[sft, rba-single]")
    scored = item(plan, "evaluation", "answers judged by reward model")
    assert scored.count == len(PLAYERS) and scored.flops > 0 and scored.new == 0
    assert "reward model weights" in {part.what for part in stage(plan, "evaluation").memory}


def test_a_local_judge_takes_memory_once_the_speechlm_is_gone(toy: Planner, bare: Path):
    def evaluation(*overrides: str):
        return stage(toy("evaluate.teacher_again=0", *overrides), "evaluation")

    words, judged = evaluation(), evaluation("evaluate.judges=[recall, letter]")
    (judge,) = set(judged.memory) - set(words.memory)
    assert judge.what == "judge weights" and judge.bytes > 0
    resident = next(part for part in judged.memory if not part.phase)
    assert judged.peak(served=False) == max(words.peak(served=False), resident.bytes + judge.bytes)
    served = evaluation("evaluate.judges=[recall, pairwise]", f"evaluate.judge=openai:http://h/v1#{bare / 'llm'}")
    assert served.peak(served=True) > 0 and served.peak(served=False) == words.peak(served=False)


def test_a_recogniser_is_planned_by_its_family_and_where_it_runs(toy: Planner):
    def told(name: str):
        return item(toy(f"evaluate.cascade={name}"), "evaluation", "clips transcribed")

    whisper, moonshine, served = told("whisper-tiny.en"), told("moonshine-base-en"), told("openai:http://h/v1#large")
    # more weights, but 5 s of every clip instead of Whisper's 30
    assert 0 < moonshine.flops < whisper.flops and not whisper.served
    assert served.served and served.unknown == "large: shape unknown" and served.count == whisper.count
