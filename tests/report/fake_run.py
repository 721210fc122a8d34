"""A run folder that looks finished: invented requests, answers, scores and training logs around short buzzing clips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from rba.data import audio
from rba.data.instruction import Instruction, instruction_id
from rba.data.utterance import Utterance
from rba.evaluation.answers import READ, Answer
from rba.evaluation.results import Result, write_results
from rba.recipe import Recipe
from rba.workspace import Workspace, write_text

TOPICS = {
    "Information Seeking": "What is the {0} of a {1}?",
    "Advice Seeking": "How can I keep my {1} from losing its {0}?",
    "Creative Writing": "Write a short poem about the {0} of an old {1}.",
    "Planning": "Plan a weekend around a {1} with some {0} in it.",
    "Reasoning": "Why does a {1} need more {0} than a boat does?",
    "Role Playing": "Pretend to be a {1} and tell me about your {0}.",
}
DIFFICULTIES = ("very easy", "easy", "medium", "hard")
NOUNS = ("colour", "weight", "history", "sound", "purpose", "shadow")
THINGS = ("garden", "violin", "harbour", "kitchen", "glacier", "library", "bicycle")
MODELS = ("base", "sft", "rba-single", "rba-group", "text", "cascade", "teacher")
SPLITS = ("test", "train", "train", "validation", "train")
HOSTILE = 'Say "</script><script>alert(1)</script>" & <b>smile</b>, then stop.'


def recipe_for(root: Path) -> Recipe:
    """The recipe of the fake run."""
    return Recipe("fake-run", output=str(root))


def make_run(root: Path, instructions: int = 60, voices: int = 2, seconds: float = 0.5) -> Workspace:
    """Write a whole run folder; the same arguments give the same files."""
    workspace, rng = Workspace(root), np.random.default_rng(7)
    asked = _instructions(instructions, rng)
    spoken = [_utterance(i, v, seconds, rng) for i in asked for v in range(voices)]
    synthesis = _stage(workspace, "synthesis")
    synthesis.write_shard(0, asked, Instruction)
    synthesis.note("dropped", {"too long": 41, "near duplicate": 27, "maths": 12, "not sayable": 9, "code": 3})
    synthesis.note("dropped_examples", {"maths": ["Integrate x squared <from> zero to one."]})
    speech = _stage(workspace, "speech")
    half = len(spoken) // 2
    speech.write_shard(0, spoken[:half], Utterance)
    speech.write_shard(1, spoken[half:], Utterance)
    speech.note("dropped", {"a word cannot be said": 2})
    _stage(workspace, "connect").note("wer", {"value": 0.113, "low": 0.104, "high": 0.123, "utterances": 500})
    evaluation = _stage(workspace, "evaluation")
    evaluation.write_shard(0, _answers(asked, spoken), Answer)
    write_results(evaluation.path / "results.json", _results(rng))
    write_text(workspace.metrics_path, "".join(json.dumps(record) + "\n" for record in _log(rng)))
    return workspace


def _stage(workspace: Workspace, name: str) -> Any:
    folder = workspace.stage(name)
    folder.open("fake")
    return folder


def _instructions(count: int, rng: np.random.Generator) -> list[Instruction]:
    made = []
    for n in range(count):
        topic = list(TOPICS)[int(rng.choice(len(TOPICS), p=[0.52, 0.2, 0.12, 0.08, 0.05, 0.03]))]
        text = TOPICS[topic].format(NOUNS[n % 6], THINGS[n % 7]) if n else HOSTILE
        points = " ".join(str(word) for word in rng.choice(NOUNS, 3 + n % 20))
        response = f"It depends on the {THINGS[n % 7]}: {points}."
        level = DIFFICULTIES[int(rng.choice(4, p=[0.3, 0.4, 0.2, 0.1]))]
        made.append(Instruction(instruction_id(f"{text} {n}"), text, response, topic, level, SPLITS[n % 5], "magpie"))
    return made


def _utterance(item: Instruction, voice: int, seconds: float, rng: np.random.Generator) -> Utterance:
    length = int(16_000 * seconds * rng.uniform(0.6, 1.5))
    time = np.arange(length) / 16_000
    loud = np.abs(np.sin(time * rng.uniform(5, 9))) * np.exp(-((time / time[-1] - 0.5) ** 2) * 3)
    wave = (0.3 * loud * np.sin(2 * np.pi * rng.uniform(90, 240) * time)).astype(np.float32)
    first = {"train": 0, "validation": 950, "test": 1010}[item.split]
    heard = ("{}", '{"room":12,"wet":0.5}', '{"noise":"babble","snr_db":14.0}', '{"band":[300,3400],"codec":"gsm"}')
    texts = (item.text, item.response, item.topic, item.difficulty, item.split, "hibari")
    speaker, sound = f"hibari-{first + int(rng.integers(50)):04d}", heard[int(rng.integers(4))]
    own = f"{item.id}-{voice}"
    return Utterance(own, item.id, voice, *texts, speaker, 3, sound, length / 16_000, None, audio.encode(wave))


def _answers(asked: list[Instruction], spoken: list[Utterance]) -> list[Answer]:
    held_out = {i.id: i for i in asked if i.split == "test"}
    rows = []
    for item in held_out.values():
        for model in ("text", "teacher", "teacher-again"):
            rows.append(Answer(model, "", item.id, READ, f"({model}) {item.response}", 12, True, None))
    for utterance in spoken:
        if item := held_out.get(utterance.instruction_id):
            heard = utterance.text.replace("garden", "guarding").replace("violin", "violet")
            for model in ("base", "sft", "rba-single", "rba-group", "cascade"):
                text = f"As {model} sees it, {item.response.lower()}"
                own = utterance.text.lower() if model == "cascade" else heard
                rows.append(Answer(model, utterance.id, item.id, utterance.voice, text, 12, True, own))
    return rows


def _row(model: str, metric: str, value: float, half: float, against: str = "", condition: str = "all") -> Result:
    return Result(model, "heldout", condition, metric, against, value, value - half, value + half, 128, 0)


def _results(rng: np.random.Generator) -> list[Result]:
    gains = dict(zip(MODELS, (0.0, 0.06, 0.075, 0.09, 0.14, 0.11, 0.3)))
    rows = []
    for model, gain in gains.items():
        for condition, lost in (("all", 0.0), ("clean", -0.02), ("noise", 0.04)):
            rows.append(_row(model, "recall", 0.31 + gain - lost, 0.021, condition=condition))
            rows.append(_row(model, "similarity", 0.52 + gain - lost, 0.018, condition=condition))
        rows.append(_row(model, "tokens", 41 - 60 * gain, 1.9))
        rows.append(_row(model, "deaf", 0.05 - gain / 6, 0.006))
        rows.append(_row(model, "distinct_2", 0.62 - gain / 2, 0.015))
        if model not in ("text", "teacher"):
            rows.append(_row(model, "consistency", 0.71 + gain * 1.4, 0.012))
            rows.append(_row(model, "text_share", (0.31 + gain) / 0.45, 0.05, "text"))
            rows.append(_row(model, "transcript_wer", 0.115 if model != "cascade" else 0.061, 0.01))
        rows += _contests(model, gains)
    return rows


def _contests(model: str, gains: dict[str, float]) -> list[Result]:
    rows = []
    for against in ("base", "sft", "teacher"):
        gap = gains[model] - gains[against]
        if model not in (against, "teacher"):
            for judge, pull in (("recall", 1.2), ("similarity", 0.9)):
                rows.append(_row(model, f"win_rate:{judge}", 0.5 + pull * gap, 0.055, against))
                rows.append(_row(model, f"lc_win_rate:{judge}", 0.5 + 0.7 * pull * gap, 0.06, against))
            if against != "teacher":
                rows.append(_row(model, "delta_recall", gap, 0.031, against))
                rows.append(_row(model, "delta_similarity", 0.9 * gap, 0.02, against))
    return rows


def _log(rng: np.random.Generator) -> list[dict]:
    log = [{"stage": "connect", "step": s, "loss": 6 * np.exp(-s / 90) + rng.normal(0.3, 0.1)} for s in range(400)]
    for method, pull in (("sft", 0.6), ("rba-single", 0.8), ("rba-group", 1.0)):
        log += [{"stage": f"align/{method}", **_update(step, method, pull, rng)} for step in range(1, 121)]
    costs = {"synthesis": (181.2, 1.9), "speech": (94.0, 1.1), "connect": (3.1, 0.6), "align/sft": (80.5, 3.2)}
    costs |= {"align/rba-single": (131.0, 3.4), "align/rba-group": (139.9, 3.4), "evaluation": (160.3, 2.7)}
    log += [{"stage": "run", "what": w, "seconds": s, "peak_gib": peak} for w, (s, peak) in costs.items()]
    return log


def _update(step: int, method: str, pull: float, rng: np.random.Generator) -> dict:
    done = pull * (1 - np.exp(-step / 40))
    record = {"step": step, "loss": 40 - 12 * done + rng.normal(0, 1.2), "lr": 1e-4 * min(1, step / 12)}
    record |= {"loss/ce": record["loss"] - 0.6, "kl": 0.4 * done, "lr_multiplier": 1 - 0.3 * (step > 70)}
    record |= {"grad_norm": 4 - done + rng.normal(0, 0.3), "tokens_per_second": 900 + 40 * rng.normal()}
    record |= {"matmul_utilisation": 0.5 + 0.02 * rng.normal(), "completions/clipped_ratio": 0.0}
    if method != "sft":
        record |= {"entropy": 2.1 - 0.5 * done, "frac_reward_zero_std": 0.25 * float(rng.integers(3))}
        record |= {"loss/preference": 0.69 - 0.2 * done + rng.normal(0, 0.02)}
        record |= {"rewards/margins": 3 * done + rng.normal(0, 0.3), "reward": 0.3 + 0.1 * done}
    if step % 20 == 0:
        record |= {"validation/score": 0.3 + 0.1 * done, "validation/logp": done - 2.4}
    return record
