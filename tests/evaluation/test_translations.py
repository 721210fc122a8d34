"""A run's own test as translation: sacrebleu's corpus scores, their gains, and the task in every path."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

from evaluation.stand_ins import EchoTeacher, Log, WordEmbedder
from rba.data.instruction import Instruction
from rba.evaluation import collect, metrics
from rba.evaluation.answers import READ, Answer
from rba.evaluation.benchmarks.settings import BenchmarkSettings
from rba.evaluation.cells import lay_out
from rba.evaluation.results import Result, load_results
from rba.evaluation.settings import EvaluateSettings
from rba.evaluation.stage import run
from rba.evaluation.table import print_table
from rba.evaluation.translations import translation_rows
from rba.lm.preamble import Preamble
from rba.lm.sampling import Sampling
from rba.lm.task import TaskSettings
from rba.models.compact import CompactSpeechLM
from rba.testing.tiny_utterances import tiny_utterances
from rba.workspace import Workspace

TASK = TaskSettings("Translate into Spanish: {}", "es")
WANTED = ["el gato duerme en la casa", "la niña lee un libro azul", "no tengo tiempo hoy", "¿dónde está el tren?"]
SAID = {
    "base": ["el gato duerme en casa", "la niña", "no hay tiempo hoy", "the train"],
    "sft": ["el gato duerme en la casa", "la niña lee un libro", "no tengo tiempo", "¿dónde está?"],
    "teacher": WANTED,
}
AGAIN = ["el gato duerme en la casa", None, "no tengo tiempo hoy", "¿dónde está el tren?"]
TEST = [replace(u, response=w, speaker="t") for u, w in zip(tiny_utterances(4, 1, "test"), WANTED)]


def cells_of(wanted=WANTED, said=SAID, again=AGAIN):
    rows = [replace(u, response=w) for u, w in zip(TEST, wanted)]
    answers = []
    for model, texts in said.items():
        reads = model == "teacher"
        for u, text in zip(rows, texts):
            answers.append(
                Answer(model, "" if reads else u.id, u.instruction_id, READ if reads else 0, text, 3, True, None)
            )
    answers += [
        Answer(collect.AGAIN, "", u.instruction_id, READ, t, 3, True, None)
        for u, t in zip(rows, again)
        if t is not None
    ]
    return lay_out(rows, answers, {})


def found_in(cells, language="es", members=None):
    sheet = metrics.make_sheet(cells, WordEmbedder(), 100, 0)
    every = members or {"all": np.ones(len(cells.utterances), dtype=bool)}
    return {(r.model, r.metric, r.against, r.condition): r for r in translation_rows(sheet, every, language)}


@pytest.mark.parametrize(("metric", "name"), [(BLEU(tokenize="13a"), "bleu"), (CHRF(), "chrf")])
def test_scores_are_sacrebleus_on_the_corpus_and_gains_their_differences(metric, name):
    found = found_in(cells_of())
    for model in ("base", "sft"):
        row = found[model, name, "", "all"]
        assert row.value == pytest.approx(metric.corpus_score(SAID[model], [WANTED]).score / 100)
        assert row.n == 4 and row.low <= row.value <= row.high
    gain = found["sft", f"delta_{name}", "base", "all"]
    assert gain.value == pytest.approx(found["sft", name, "", "all"].value - found["base", name, "", "all"].value)
    assert ("base", f"delta_{name}", "base", "all") not in found and (
        "teacher",
        f"delta_{name}",
        "base",
        "all",
    ) not in found


def test_of_the_teacher_the_second_translations_count_where_there_are_any():
    row = found_in(cells_of(again=["uno", *AGAIN[1:]]))["teacher", "bleu", "", "all"]
    pairs = [(a, w) for a, w in zip(["uno", *AGAIN[1:]], WANTED) if a is not None]
    wanted = BLEU(tokenize="13a").corpus_score([a for a, _ in pairs], [[w for _, w in pairs]]).score / 100
    assert row.value == pytest.approx(wanted) and row.n == 3
    assert not any(model == "teacher" for model, *_ in found_in(cells_of(again=[None] * 4)))


def test_a_condition_has_the_scores_of_its_own_cells():
    mask = np.array([True, True, False, False])
    row = found_in(cells_of(), members={"noise": mask})["sft", "bleu", "", "noise"]
    assert row.value == pytest.approx(BLEU().corpus_score(SAID["sft"][:2], [WANTED[:2]]).score / 100) and row.n == 2


def test_chinese_is_scored_by_its_characters():
    wanted, said = ["猫在房子里睡觉", "她在看一本书"] * 2, ["猫在房子里", "她在看书"] * 2
    found = found_in(cells_of(wanted, {"base": said}, [None] * 4), "zh")
    assert found["base", "bleu", "", "all"].value == pytest.approx(
        BLEU(tokenize="zh").corpus_score(said, [wanted]).score / 100
    )
    assert found["base", "bleu", "", "all"].value > 0.1


class TaughtTeacher(EchoTeacher):
    """Keeps what it is asked, and under which turns."""

    def __init__(self, system, asked=None):
        self.system, self.asked = system, [] if asked is None else asked

    def told(self, system):
        return TaughtTeacher(system, self.asked)

    def replies(self, texts, sampling, seeds, system=None):
        self.asked += [(self.system, text) for text in texts]
        return super().replies(texts, sampling, seeds)


def test_every_path_is_asked_under_the_task_and_a_benchmark_only_if_it_says_nothing_else(tmp_path, monkeypatch, capsys):
    told: dict[str, set] = {"prompts": set(), "text_prompts": set(), "listen": set()}
    for name, seen in told.items():
        plain = getattr(CompactSpeechLM, name)

        def spied(self, rows, system=None, plain=plain, seen=seen):
            seen.add(system)
            return plain(self, rows, system)

        monkeypatch.setattr(CompactSpeechLM, name, spied)
    pairs = "\n".join(f'{{"eng": "Say {i}.", "spa": "Di {i}."}}' for i in range(2))
    (tmp_path / "pairs.jsonl").write_text(pairs)
    benchmarks = [
        BenchmarkSettings("own", "pairs", str(tmp_path / "pairs.jsonl"), subset="eng_spa", max_new_tokens=4),
        BenchmarkSettings(
            "other", "pairs", str(tmp_path / "pairs.jsonl"), subset="eng_spa", max_new_tokens=4, system="Spell it."
        ),
    ]
    asked = EvaluateSettings(
        answer=Sampling(0.0, 1.0, 6),
        judges=("bleu", "chrf"),
        teacher_again=2,
        resamples=100,
        benchmarks=tuple(benchmarks),
    )
    teacher = TaughtTeacher(TASK.teaching(Preamble()))
    loaders = replace(Log().loaders(), teacher=lambda: teacher)
    folder = Workspace(tmp_path).stage("evaluation")
    folder.open("mark")
    run(
        asked, folder=folder, seed=7, models={"base": "m0", "sft": "m1"}, utterances=TEST,
        instructions=[Instruction(u.instruction_id, u.text, u.response, split="test") for u in TEST],
        teacher="echo", teacher_system=teacher.system, task=TASK, loaders=loaders,
    )  # fmt: skip
    assert told["listen"] == {TASK.preamble, "Spell it."}  # the spoken paths
    assert told["text_prompts"] == {TASK.preamble, "Spell it."}  # typed input and cascade
    own = [text for system, text in teacher.asked if system == teacher.system]
    assert len(own) == 2 + 2 and {"Say 0.", "Say 1."} <= set(own)
    assert {text for system, text in teacher.asked if system == ""} == {"Spell it.\n\nSay 0.", "Spell it.\n\nSay 1."}
    assert teacher.system == TASK.preamble
    signatures = folder.notes["signatures"]
    assert set(signatures) == {"heldout", "own", "other"} and "tok:13a" in signatures["heldout"]["bleu"]
    rows = load_results(folder.path)
    models = {r.model for r in rows if r.benchmark == "heldout" and r.metric == "bleu"}
    assert models == {"base", "sft", "text", "cascade", "teacher"}
    capsys.readouterr()
    print_table(rows)
    head = capsys.readouterr().out
    assert "BLEU %" in head and "chrF %" in head


def test_the_printed_table_is_of_the_runs_own_test_alone(capsys):
    rows = [
        Result("base", place, "all", "bleu", "", value, None, None, 4, 0)
        for place, value in (("heldout", 0.25), ("german", 0.75))
    ]
    print_table(rows)
    printed = capsys.readouterr().out
    assert "25.0" in printed and "75.0" not in printed


def test_items_with_a_turn_of_their_own_are_asked_it_under_the_task():
    from rba.evaluation.benchmarks.item import Item
    from rba.evaluation.benchmarks.load import Benchmark

    item = Item("1", "Who?", (), None, "A passage.")
    for settings, task, wanted in (
        ("", TASK, replace(TASK.preamble, system="A passage.")),
        ("", TaskSettings("Translate."), Preamble("Translate.\n\nA passage.")),
        ("Spell it.", TASK, "Spell it.\n\nA passage."),
        ("", TaskSettings(), "A passage."),
    ):
        asked = BenchmarkSettings("b", "manifest", "x", system=settings)
        assert Benchmark(asked, "qa", {"b/1": item}, [], {}, task).system("b/1") == wanted
