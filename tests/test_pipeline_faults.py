"""What stops a run, and that nothing is done before it is told: bad settings and models, full disks, other runs."""

from __future__ import annotations

import pathlib
import sys
from pathlib import Path

import fakes
import pytest
from fakes import done, hashes

from rba.errors import DataError, ModelError, RbaError, RecipeError, WorkspaceError
from rba.pipeline import run
from rba.testing.tiny_lm import CHAT_TEMPLATE, save_tiny_lm
from rba.workspace import Workspace


@pytest.mark.parametrize(
    "overrides",
    [
        "teacher=smolm2-135m-instruct",
        "model=shiped",
        "model=.",
        "model=/gone/a/b",
        "align.judge=smolm2",
        "align.reward_model=armo",
        "evaluate.cascade=whisper-tiny",
        "speech.gate_asr=whisper-small speech.gate=true",
        "align.embedder=minilm",
        "connect.encoder=whisper-bse",
        "connect.llm=smolm2",
        "synthesis.embedder=minilm",
    ],
)
def test_a_model_that_cannot_exist_is_refused_with_its_key_before_anything_is_done(mine, overrides):
    words = overrides.split()
    with pytest.raises(ModelError, match=rf"\({words[0].replace('=', ' ')}\)"):
        run(mine(*words))
    assert done() == [] and not mine().folder.exists()


def test_a_model_that_cannot_be_loaded_is_told_with_the_keys_that_name_it(mine, monkeypatch):
    def gone(*_: object, **__: object) -> None:
        raise ModelError("cannot load the language model: 404", "org/gone", "give another")

    monkeypatch.setattr(sys.modules["rba.speech.stage"], "run", gone)
    other = "align.variants={quick: {method: sft, judge: org/gone}}"
    with pytest.raises(ModelError, match=r"404 \(teacher, align\.variants\.quick\.judge org/gone\); give another"):
        run(mine("teacher=org/gone", other))


def test_one_process_is_told_at_once_that_it_cannot_divide_weights_and_may_do_all_but_align(mine):
    with pytest.raises(RecipeError, match="no other to divide the weights with"):
        run(mine("align.sharding=fsdp"))
    assert done() == []
    run(mine())
    done()
    run(mine("align.sharding=fsdp"))  # aligned before, by however many
    assert done() == ["report"]


@pytest.mark.parametrize("config", ['{"model_type": "llama"}', "{}", "[]", "{"])
def test_an_audio_lm_of_an_unknown_family_is_refused_before_anything_is_done(mine, tmp_path, config):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(config)
    with pytest.raises(ModelError, match="model_type"):
        run(mine(f"model={tmp_path}/model"))
    assert done() == [] and not mine().folder.exists()


@pytest.mark.parametrize("model", ["Qwen/Qwen2-Audio-7B-Instruct", "folder"])
def test_an_audio_lm_is_named_by_its_hub_id_or_its_folder(mine, tmp_path, model):
    if model == "folder":
        model = str(tmp_path / "model")
        Path(model).mkdir()
        (Path(model) / "config.json").write_text('{"model_type": "qwen2_audio"}')
    run(mine(f"model={model}"))
    assert "align/sft" in (steps := done()) and "connect" not in steps


def test_a_reward_of_ones_own_is_imported_before_anything_is_done_and_an_edit_counts(mine, tmp_path, monkeypatch):
    own = "align.reward=edited_rewards:f + recall"
    with pytest.raises(RecipeError, match="cannot import the reward: ModuleNotFoundError"):
        run(mine(own))
    assert done() == [] and not mine().folder.exists()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "edited_rewards", raising=False)  # and again when the test is over
    file = tmp_path / "edited_rewards.py"
    file.write_text("def f(completions, **columns):\n    return [0] * len(completions)\n")
    run(mine(own))
    done()
    file.write_text(file.read_text().replace("[0]", "[1]"))
    run(mine(own))
    assert done() == ["align/sft", "align/rba-group", "report"]


def test_two_runs_in_one_folder_exclude_each_other(mine):
    with Workspace(mine().folder).lock(), pytest.raises(WorkspaceError, match="another run holds this folder"):
        run(mine())
    run(mine())


def test_a_fault_that_shows_at_once_costs_nothing_that_was_there(mine, monkeypatch):
    root = run(mine())
    before, records = hashes(root), Workspace(root).records()
    speak = sys.modules["rba.speech.stage"].run

    def refused(*_args, **_kwargs):
        raise RecipeError("this engine does not clone voices", "speech.references", "leave it out")

    monkeypatch.setattr(sys.modules["rba.speech.stage"], "run", refused)
    with pytest.raises(RecipeError, match="does not clone"):
        run(mine("speech.acoustics=clean"))
    assert hashes(root) == before
    assert [r for r in Workspace(root).records() if "command" not in r] == [r for r in records if "command" not in r]
    monkeypatch.setattr(sys.modules["rba.speech.stage"], "run", speak)
    done()
    run(mine())
    assert done() == ["report"]


def test_a_stage_that_forgets_to_finish_is_caught(mine, monkeypatch):
    monkeypatch.setattr(sys.modules["rba.speech.stage"], "run", lambda *a, **k: None)
    with pytest.raises(WorkspaceError, match="ended without finishing"):
        run(mine())


def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(mine, monkeypatch, tmp_path):
    rename, count = pathlib.Path.replace, 0

    def fill(self, target):
        nonlocal count
        count += 1
        if count > 9:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(pathlib.Path, "replace", fill)
    with pytest.raises(WorkspaceError, match="No space left on device") as caught:
        run(mine())
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    fakes.install()
    assert not list((tmp_path / "run").rglob("*.partial"))
    fresh = run(mine("output=" + str(tmp_path / "undisturbed")))
    assert hashes(run(mine())) == hashes(fresh)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("align={methods: [kd], token_teacher: 'openai:http://h/v1#m'}", "kd as it is set needs whole distributions"),
        (
            "align.variants={own: {method: kd, token_teacher: 'openai:http://h/v1#m'}}",
            "kd as it is set needs whole distributions",
        ),
        ("align.variants={own: {method: grpo, judge: 'openai:http://h/v1'}}", "#model"),
        ("align.reward_model=openai:http://h/v1#m", "reward_model"),
        ("teacher=openai:http://h/v1?retry=2#m", "retry.*choose from"),
        ("evaluate.cascade=openai:http://h/v1", "#model"),
    ],
)
def test_a_server_that_cannot_serve_a_part_is_refused_before_anything_is_done(mine, override, says):
    with pytest.raises(RbaError, match=says):
        run(mine(override))
    assert done() == [] and not mine().folder.exists()


SERVED = "openai:http://h/v1?key_env=RBA_TEST_KEY#m"
SPEAKING = "openai:http://h/v1?key_env=RBA_TEST_KEY&voices=a#m"


@pytest.mark.parametrize(
    ("key", "override"),
    [
        ("teacher", f"teacher={SERVED}"),
        ("evaluate.judge", f"evaluate.judge={SERVED}"),
        ("evaluate.cascade", f"evaluate.cascade={SERVED}"),
        ("align.judge", f"align.judge={SERVED}"),
        ("speech.gate_asr", f"speech={{gate: true, gate_asr: '{SERVED}'}}"),
        ("speech.engine", f"speech.engine={SPEAKING}"),
        ("evaluate.conditions.engine", f"evaluate.conditions={{names: [engine], engine: '{SPEAKING}'}}"),
    ],
)
def test_a_key_that_is_not_set_is_told_before_anything_is_done(mine, key, override, monkeypatch):
    monkeypatch.delenv("RBA_TEST_KEY", raising=False)
    with pytest.raises(ModelError, match=rf"API key is not set \({key} http://h/v1\); put it into \$RBA_TEST_KEY"):
        run(mine(override))
    assert done() == [] and not (mine().folder / "config.yaml").exists()
    monkeypatch.setenv("RBA_TEST_KEY", "k")
    run(mine(override))


@pytest.mark.parametrize("section", ["align", "evaluate"])
def test_a_server_is_no_reward_model(mine, section):
    with pytest.raises(ModelError, match=rf"no reward model's score \({section}\.reward_model openai:"):
        run(mine(f"{section}.reward_model=openai:http://h/v1#m"))
    assert done() == []


CLONING = "openai-clone:http://h/v1#m"


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("speech.voices=400", r"speakers cannot give 400 different voices \(speech.speakers\)"),
        ("speech={references: clips, engine: hibari}", r"does not clone voices \(hibari\)"),
        (f"speech.engine={CLONING}", "clones voices and needs recordings"),
        (f"speech={{references: /gone, engine: '{CLONING}'}}", "no reference clips here"),
        ("speech.engine=piper:/gone.onnx", r"\(speech.engine \S*/gone.onnx\)"),
        ("evaluate.conditions={names: [engine], engine: 'piper:/gone.onnx'}", r"\(evaluate.conditions.engine \S*/gone"),
        ("speech.engine=espeak evaluate.conditions.names=[accent]", r"cannot change the accent \(espeak\)"),
        ("speech.engine=transformers:a/b evaluate.conditions.names=[fast]", r"keeps its own pace \(transformers:a/b\)"),
        (f"evaluate.conditions={{names: [engine], engine: '{CLONING}'}}", "the run has no recordings"),
    ],
)
def test_speech_that_cannot_be_made_is_told_before_anything_is_done(mine, override, says):
    with pytest.raises(RbaError, match=says):
        run(mine(*override.split(" ") if "{" not in override else [override]))
    assert done() == [] and not (mine().folder / "config.yaml").exists()


def test_what_the_speech_stage_needs_is_needed_by_work_that_speaks(mine):
    run(mine())
    run(mine("speech.engine=espeak"), only="synthesize")
    with pytest.raises(RbaError, match="voices"):
        run(mine("speech.voices=400"))
    run(mine())


def test_a_key_is_needed_by_the_work_that_is_left_alone(mine, monkeypatch):
    monkeypatch.setenv("RBA_TEST_KEY", "k")
    run(mine(f"evaluate.judge={SERVED}"))
    monkeypatch.delenv("RBA_TEST_KEY")
    run(mine(f"evaluate.judge={SERVED}"))
    run(mine(f"evaluate.judge={SERVED}", "align.lr=0.1"), only="align")
    with pytest.raises(ModelError, match=r"evaluate\.judge"):
        run(mine(f"evaluate.judge={SERVED}", "align.lr=0.1"))


NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}" + CHAT_TEMPLATE


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("teacher", "task.prompt=Translate."),
        ("teacher", "synthesis.system=Bees."),
        ("teacher", "synthesis.answer_system=Briefly."),
        ("connect.llm", "task.prompt=Translate."),
        ("model", "task.prompt=Translate."),
        ("align.token_teacher", "task.prompt=Translate."),
    ],
)
def test_a_turn_that_a_chat_template_refuses_is_told_before_anything_is_done(mine, tmp_path, key, told):
    folder = save_tiny_lm(tmp_path / "lm")
    (folder / "chat_template.jinja").write_text(NO_SYSTEM)
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "speechlm.json").write_text(f'{{"llm": "{folder}"}}')
    teacher = save_tiny_lm(tmp_path / "teacher")
    overrides = [f"teacher={teacher}", f"{key}={tmp_path / 'made' if key == 'model' else folder}"]
    with pytest.raises(ModelError, match=rf"refuses the turns of system and user: no system turn \({key} /"):
        run(mine(*overrides, told, *(["model=connect"] if key == "connect.llm" else [])))
    assert done() == []
    run(mine(*overrides, "task.prompt='Translate: {}'"))


@pytest.mark.parametrize("source", ["data/mine/test.jsonl", "./gone", "/gone/set", "a/b/c", "gone.parquet"])
def test_benchmark_data_that_are_not_here_are_told_before_anything_is_done(mine, source):
    benchmark = f"evaluate.benchmarks=[{{name: b, format: manifest, source: {source}}}]"
    with pytest.raises(DataError, match=rf"benchmark b has no data: no such file or folder is here \({source}\)"):
        run(mine(benchmark))
    assert done() == []


@pytest.mark.parametrize("source", ["owner/name", "name", "here.jsonl"])
def test_benchmark_data_may_be_on_the_hub_or_here(mine, source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("here.jsonl").write_text("{}")
    run(mine(f"evaluate.benchmarks=[{{name: b, format: manifest, source: {source}}}]"))
