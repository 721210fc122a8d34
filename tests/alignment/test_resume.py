"""A run that is killed and resumed ends with the same bits as one that is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import torch

from rba.alignment.settings import AdaptiveSettings, AlignSettings, ValidationSettings
from rba.alignment.stage import align
from rba.testing.tiny_speechlm import tiny_speechlm
from rba.testing.tiny_utterances import tiny_utterances
from rba.workspace import StageFolder

from .conftest import SMALL, variety

# everything that has a state: new rounds, rewards, an adaptive rate, drift, validation, the connector, dropout
SETTINGS = replace(
    SMALL,
    steps=6,
    refresh="per_round",
    round_steps=2,
    train_connector=True,
    lora=replace(SMALL.lora, dropout=0.1),
    validation=ValidationSettings(every=2, groups=2, patience=0),
    adaptive=AdaptiveSettings(drift_every=1, drift_answers=2, drift_target=0.05),
    checkpoint_minutes=0.0,
)


def go(path: Path, settings: AlignSettings = SETTINGS, kill_at: int | None = None) -> dict[str, str]:
    """Align into `path`, killing this process after update `kill_at`; returns the hashes of all files."""

    def log(record: dict) -> None:
        if record["step"] == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    folder = StageFolder(path)
    if not folder.open("mark"):
        rows = tiny_utterances(3, 2) + tiny_utterances(2, 2, "validation")
        align(
            tiny_speechlm(),
            settings,
            method="rba-group",
            folder=folder,
            seed=3,
            utterances=rows,
            reward=lambda: variety,
            log=log,
        )
    return folder.manifest["files"]


def test_kill_9_and_resume_give_the_same_files(tmp_path: Path):
    whole = go(tmp_path / "whole" / "align" / "rba-group")
    script = (
        "import sys; from pathlib import Path; from alignment.test_resume import go; go(Path(sys.argv[1]), kill_at=4)"
    )
    cut = tmp_path / "cut" / "align" / "rba-group"
    place = Path(__file__).parents[2]
    paths = f"{place / 'src'}:{place / 'tests'}"
    env = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    killed = subprocess.run([sys.executable, "-c", script, str(cut)], env=env, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list((tmp_path / "cut" / "checkpoints").glob("rba-group-*/last"))) == 1
    assert not (cut / "model").exists()
    assert go(cut) == whole
    assert {"model/adapter/adapter_model.safetensors", "model/connector.safetensors"} <= whole.keys()
