"""The command line: quick help, one line per fault, exit codes that scripts can rely on."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import rba
from rba import cli
from rba.errors import ModelError

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(rba.__file__).parents[1])}
HEAVY = ("torch", "transformers", "datasets", "numpy", "pyarrow", "yaml", "soundfile", "rich")


def python(code: str) -> str:
    """What a fresh Python prints for `code`."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=ENVIRONMENT, text=True, check=True, stdout=subprocess.PIPE).stdout


def fault(capsys, *words: str) -> str:
    """The one line on stderr with which a command ends, exit code 2."""
    assert cli.main(words) == 2
    said = capsys.readouterr()
    assert said.err.startswith("rba: error: ") and said.err.count("\n") == 1
    assert "Traceback" not in said.err
    return said.err


def test_settings_may_stand_behind_options(capsys):
    said = fault(capsys, "plan", "recipes/ci.yaml", "--gpus", "0", "align.stepz=1")
    assert "align.stepz" in said and "did you mean align.steps?" in said


@pytest.mark.parametrize("words", [("plan", "recipes/ci.yaml", "--gpus", "0", "stray"), ("models", "list", "a=b")])
def test_words_that_no_verb_knows_are_named(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(words)
    assert f"unrecognized arguments: {words[-1]}" in capsys.readouterr().err


def test_help_imports_nothing_heavy():
    code = (
        "import sys, contextlib, io\nfrom rba import cli\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): cli.main(['--help'])\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    assert python(code) == "[]\n"


def test_importing_the_package_imports_nothing_heavy():
    assert python(f"import sys, rba\nprint([m for m in {HEAVY!r} if m in sys.modules])") == "[]\n"


def test_reading_a_recipe_imports_no_torch():
    code = "import sys, rba.recipe, rba.pipeline\nprint([m for m in ('torch', 'transformers') if m in sys.modules])"
    assert python(code) == "[]\n"


def test_every_public_name_has_its_home():
    for name in rba.__all__:
        assert getattr(rba, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = rba.nothing


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out == f"rba {rba.__version__}\n"


@pytest.mark.parametrize("words", [[], ["fly"], ["run"], ["chat"], ["models"]])
def test_wrong_usage_exits_with_2(words, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2 and "usage: rba" in capsys.readouterr().err


def recording(path: Path, wave: np.ndarray, rate: int = 16_000, **options: str) -> str:
    """The path of a new audio file."""
    soundfile.write(path, wave, rate, **options)
    return str(path)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda p: recording(p, np.zeros(0)), "audio is empty or too short"),
        (lambda p: recording(p, np.full(16_000, np.nan), subtype="FLOAT"), "NaN or infinite"),
        (lambda p: recording(p, np.zeros(600 * 8_000, np.float32), 8_000), "lasts 600.0 s, the limit is 30 s"),
        (lambda p: p.write_bytes(b"RIFF" + b"\x00" * 40), "cannot be decoded"),
        (lambda p: None, "no such audio file"),
    ],
    ids=["empty", "nan", "ten minutes", "corrupt", "missing"],
)
def test_unusable_audio_is_one_line_and_exit_code_2(tmp_path, capsys, make, line):
    make(tmp_path / "a.wav")
    said = fault(capsys, "chat", "shipped", "--wav", str(tmp_path / "a.wav"))
    assert line in said and "a.wav" in said


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 2), (8_000, 1), (44_100, 2)])
def test_stereo_and_other_rates_get_as_far_as_the_model(tmp_path, capsys, rate, channels):
    clip = recording(tmp_path / "a.wav", np.full((rate, channels), 0.1), rate)
    assert "no SpeechLM checkpoint here" in fault(capsys, "chat", str(tmp_path / "no-model"), "--wav", clip)


def test_impossible_chat_settings_are_refused(capsys):
    assert "impossible sampling settings" in fault(capsys, "chat", "shipped", "--temperature", "-1")


@pytest.mark.parametrize("verb", ["run", "align", "show-config"])
def test_a_missing_recipe_is_named(verb, capsys, tmp_path):
    (tmp_path / "tiny.yaml").write_text("name: tiny\n")
    assert f"did you mean {tmp_path}/tiny.yaml?" in fault(capsys, verb, str(tmp_path / "tny.yaml"))


def test_models_are_listed(capsys):
    assert cli.main(["models", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["NAME", "KIND", "SIZE"]
    assert any(line.startswith("smollm2-135m-instruct") and "Apache-2.0" in line for line in lines)


def test_the_place_of_a_fetched_model_is_told(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("RBA_CACHE", str(tmp_path))
    line = fault(capsys, "models", "path", "whisper-tiny.en")
    assert "not in the cache (whisper-tiny.en); fetch it: rba models fetch whisper-tiny.en" in line
    monkeypatch.setattr("rba.weights.cache.is_cached", lambda name: True)
    assert cli.main(["models", "path", "whisper-tiny.en"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/models/whisper-tiny.en\n"


@pytest.mark.parametrize("action", ["fetch", "path"])
def test_an_unknown_model_is_one_line(action, capsys):
    assert 'did you mean "whisper-tiny.en"?' in fault(capsys, "models", action, "whisper-tiny")


def ending(monkeypatch, error: BaseException) -> None:
    """Let every verb end with `error`."""

    def fail(_args: object) -> None:
        raise error

    for name in ("_show_config", "_chat"):
        monkeypatch.setattr(cli, name, fail)


def test_a_fault_of_many_lines_is_told_in_one(monkeypatch, capsys):
    ending(monkeypatch, ModelError("torch said:\n  no\n", "here", "mend it"))
    assert fault(capsys, "show-config", "x") == "rba: error: torch said: no (here); mend it\n"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "/run/x"),
        OSError(errno.EDQUOT, "Disk quota exceeded", "/run/x"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_one_line_wherever_it_strikes(monkeypatch, capsys, error):
    ending(monkeypatch, error)
    assert "the disk is full" in fault(capsys, "show-config", "x")


def test_ctrl_c_says_how_to_go_on(monkeypatch, capsys):
    ending(monkeypatch, KeyboardInterrupt())
    assert cli.main(["show-config", "x"]) == 130
    assert capsys.readouterr().err == "\nrba: stopped; run the same command to resume\n"
    assert cli.main(["chat", "x"]) == 130
    assert capsys.readouterr().err == "\nrba: stopped\n"


@pytest.mark.parametrize("error", [KeyError("bug"), PermissionError(errno.EACCES, "denied")])
def test_a_bug_keeps_its_traceback(monkeypatch, error):
    ending(monkeypatch, error)
    with pytest.raises(type(error)):
        cli.main(["show-config", "x"])


def test_a_name_that_no_text_can_hold_is_printed_all_the_same(monkeypatch):
    printed = io.TextIOWrapper(io.BytesIO(), "utf-8")
    monkeypatch.setattr(sys, "stdout", printed)
    monkeypatch.setattr(cli, "_show_config", lambda args: print(args.recipe))
    assert cli.main(["show-config", os.fsdecode(b"caf\xe9.yaml")]) == 0
    assert printed.buffer.getvalue() == b"caf\\udce9.yaml\n"


def test_a_reader_that_leaves_is_no_error():
    code = "import sys; from rba.cli import main; sys.exit(main(['models', 'list']))"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert done.returncode == 141 and done.stderr == b""


def test_piped_questions_meet_a_missing_model_in_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("sys.stdin", io.StringIO("Hello\n"))
    assert "no SpeechLM checkpoint here" in fault(capsys, "chat", str(tmp_path))
