"""The stage from end to end with tiny models: what is written, resuming, bad audio, and what is loaded how often."""

import json
from dataclasses import replace

import pytest

from evaluation.stand_ins import Log
from rba.data.instruction import Instruction
from rba.errors import DataError
from rba.evaluation.answers import Answer
from rba.evaluation.results import load_results
from rba.evaluation.settings import EvaluateSettings
from rba.evaluation.stage import run
from rba.lm.sampling import Sampling
from rba.testing.tiny_utterances import tiny_utterances

MODELS = {"base": "m0", "sft": "m1", "rba-group": "m1"}
SETTINGS = EvaluateSettings(
    answer=Sampling(0.0, 1.0, 8),
    judges=("recall", "similarity", "likelihood"),
    teacher_again=3,
    slow_judge_instructions=2,
    resamples=100,
    shard_size=5,
)
TEST = [replace(u, speaker=f"t{u.voice}") for u in tiny_utterances(4, 3, "test")]
DATA = [*TEST, *tiny_utterances(2, 2, "train")]
INSTRUCTIONS = [Instruction(u.instruction_id, u.text.title(), u.response, split=u.split) for u in DATA]


def evaluate(workspace, log, name="evaluation", utterances=DATA, settings=SETTINGS, mark="mark"):
    folder = workspace.stage(name)
    if not folder.open(mark, "answers"):
        run(settings, folder=folder, seed=7, models=MODELS, utterances=utterances, instructions=INSTRUCTIONS,
            teacher="echo", loaders=log.loaders())  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    from rba.workspace import Workspace

    log = Log()
    folder = evaluate(Workspace(tmp_path_factory.mktemp("run")), log)
    return folder, log, load_results(folder.path)


def test_every_model_answers_every_voice_and_readers_answer_once(finished):
    folder, _, _ = finished
    answers = folder.read(Answer)
    counts = folder.notes["answers"]
    assert counts == {
        "cascade": 12, "base": 12, "text": 4, "teacher": 4, "sft": 12, "rba-group": 12, "teacher-again": 3
    }  # fmt: skip
    assert {a.voice for a in answers if a.model == "base"} == {0, 1, 2}
    assert {(a.utterance_id, a.voice) for a in answers if a.model in ("text", "teacher")} == {("", -1)}
    assert {a.heard for a in answers if a.model == "cascade"} == {"say hello"}
    assert all(a.heard is not None for a in answers if a.model == "sft")
    assert {a.text for a in answers if a.model == "teacher"} == {u.response for u in TEST}


def test_each_checkpoint_is_loaded_once_and_the_features_do_not_stay(finished):
    folder, log, _ = finished
    assert sorted(log.loaded) == ["embedder", "m0", "m1", "m1", "teacher", "teacher", "transcriber"]
    assert folder.is_complete
    assert not list(folder.path.glob(".features*"))


def test_judges_that_read_share_one_teacher(tmp_workspace):
    log = Log()
    evaluate(tmp_workspace, log, settings=replace(SETTINGS, judges=("recall", "likelihood", "pairwise")))
    assert log.loaded.count("teacher") == 2  # to answer again, and to judge


def test_a_judge_that_never_replies_as_it_is_asked_is_counted_told_and_has_no_rate(tmp_workspace, capsys):
    folder = evaluate(tmp_workspace, Log(), settings=replace(SETTINGS, judges=("recall", "pairwise")))
    count = folder.notes["unread_verdicts"]["pairwise"]
    assert count["unread"] == count["asked"] > 0
    rated = {(r.model, r.against) for r in load_results(folder.path) if r.metric.endswith("win_rate:pairwise")}
    assert rated == {("rba-group", "sft")}  # the same model twice: no verdict is needed
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "could not be read" in line]
    assert line.startswith(f"rba: judge pairwise: {count['asked']} of {count['asked']} verdicts")


def test_what_judges_that_read_have_said_is_not_asked_again(tmp_workspace):
    settings = replace(SETTINGS, judges=("recall", "letter"), teacher_again=0)
    place = evaluate(tmp_workspace, Log(), settings=settings).path / "results.json"
    whole = place.read_bytes()
    place.unlink()  # as if stopped before it was written
    log = Log()
    evaluate(tmp_workspace, log, settings=settings)
    assert place.read_bytes() == whole and "teacher" not in log.loaded


def test_every_figure_is_there(finished):
    rows = finished[2]
    have = {(r.model, r.metric, r.against) for r in rows}
    for model in ("base", "sft", "rba-group", "text", "cascade"):
        for metric in ("recall", "similarity", "deaf", "finished", "length", "tokens"):
            assert (model, metric, "") in have
    for model in ("base", "sft", "rba-group", "cascade"):
        assert (model, "consistency", "") in have
        assert (model, "transcript_wer", "") in have
    for metric in ("delta_recall", "delta_similarity", "delta_consistency"):
        assert {("sft", metric, "base"), ("rba-group", metric, "sft")} <= have
    for judge in SETTINGS.judges:
        for opponent in ("base", "sft", "teacher"):
            assert {
                ("rba-group", f"win_rate:{judge}", opponent),
                ("rba-group", f"lc_win_rate:{judge}", opponent),
            } <= have
    assert ("teacher", "recall", "") in have
    assert ("text", "win_rate:recall", "base") in have


def test_rows_are_sound(finished):
    rows = finished[2]
    assert len({(r.model, r.condition, r.metric, r.against) for r in rows}) == len(rows)
    for row in rows:
        assert (row.benchmark, row.condition, row.seed) == ("heldout", "all", 7)
        assert row.low is None or row.low - 1e-6 <= row.value <= row.high + 1e-6
        assert 0 < row.n <= 4
    n = {(r.model, r.metric, r.against): r.n for r in rows}
    assert n["sft", "win_rate:likelihood", "base"] == 2
    assert n["sft", "win_rate:recall", "teacher"] == 3


def test_the_same_checkpoint_under_two_names_is_equal_in_everything(finished):
    value = {(r.model, r.metric, r.against): r.value for r in finished[2]}
    assert value["rba-group", "delta_recall", "sft"] == 0
    assert value["rba-group", "delta_consistency", "sft"] == 0
    for judge in SETTINGS.judges:
        assert value["rba-group", f"win_rate:{judge}", "sft"] == 0.5
        assert value["rba-group", f"lc_win_rate:{judge}", "sft"] == pytest.approx(0.5)
    for metric in ("recall", "similarity", "consistency", "tokens"):
        assert value["rba-group", metric, ""] == value["sft", metric, ""]


def test_figures_of_other_judges_are_gone_while_new_ones_are_made(tmp_workspace):
    folder = evaluate(tmp_workspace, Log())
    log = Log(fail_at="embedder")
    with pytest.raises(KeyboardInterrupt):
        evaluate(tmp_workspace, log, settings=replace(SETTINGS, judges=("similarity", "recall")), mark="other judges")
    assert "m1" not in log.loaded  # the answers have stayed
    with pytest.raises(DataError, match="no results"):
        load_results(folder.path)


def test_the_file_holds_plain_rows_with_the_ten_keys(finished):
    rows = json.loads((finished[0].path / "results.json").read_text())
    keys = {"model", "benchmark", "condition", "metric", "against", "value", "low", "high", "n", "seed"}
    assert all(set(row) == keys for row in rows)


@pytest.mark.parametrize("where", ["transcriber", "m1", "teacher"])
def test_a_stopped_stage_goes_on_and_ends_with_the_same_files(finished, tmp_workspace, where):
    with pytest.raises(KeyboardInterrupt):
        evaluate(tmp_workspace, Log(fail_at=where))
    done = [p.name for p in tmp_workspace.stage("evaluation").path.glob("part-*")]
    log = Log()
    folder = evaluate(tmp_workspace, log)
    assert folder.output_hash() == finished[0].output_hash()
    assert ("transcriber" not in log.loaded) == bool(done)
    evaluate(tmp_workspace, broken := Log(fail_at="embedder"))
    assert broken.loaded == []


def test_an_utterance_that_cannot_be_heard_is_left_out_and_named(tmp_workspace):
    broken = replace(TEST[4], audio=b"fLaC nonsense")
    folder = evaluate(tmp_workspace, Log(), utterances=[broken, *(u for u in DATA if u.id != broken.id)])
    assert list(folder.notes["dropped"]) == [broken.id]
    assert folder.notes["compared"] == {"utterances": 11, "instructions": 4}


def test_leaks_are_found_before_any_model_is_loaded(tmp_workspace):
    log = Log()
    with pytest.raises(DataError, match="leak"):
        evaluate(tmp_workspace, log, utterances=[*DATA, replace(TEST[0], id="stray", split="train")])
    assert log.loaded == []


def test_without_cascade_and_second_answers_nobody_is_loaded_for_them(tmp_workspace):
    log = Log()
    settings = replace(SETTINGS, cascade="", teacher_again=0, judges=("recall", "similarity"))
    folder = evaluate(tmp_workspace, log, settings=settings)
    assert sorted(log.loaded) == ["embedder", "m0", "m1", "m1"]
    rows = load_results(folder.path)
    assert not [r for r in rows if r.against == "teacher" or (r.model, r.metric) == ("teacher", "recall")]
