"""Statistics of a run's data: shares beside the paper's, splits, what was dropped and why, lengths, acoustics, cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rba.data.instruction import SPLITS, Instruction
from rba.meter import duration
from rba.report.acoustics import ACOUSTICS, steps
from rba.report.bars import Share
from rba.report.names import plain
from rba.report.source import Source, Spoken, stage_order
from rba.synthesis.tags import PAPER_DIFFICULTY_SHARES, PAPER_TOPIC_SHARES


def topics(instructions: Sequence[Instruction]) -> list[Share]:
    """Per cent of instructions by topic, with the paper's; the paper's topics first."""
    return _shares([i.topic for i in instructions], PAPER_TOPIC_SHARES)


def difficulties(instructions: Sequence[Instruction]) -> list[Share]:
    """Per cent of instructions by difficulty, with the paper's."""
    return _shares([i.difficulty for i in instructions], PAPER_DIFFICULTY_SHARES)


def _shares(values: Sequence[str], printed: Mapping[str, float]) -> list[Share]:
    """Shares of `values`; those that name a printed category take its name and its figure."""
    if not any(values):
        return []
    known = {_stem(name): name for name in printed}
    counts = Counter(known.get(_stem(v), v or "untagged") for v in values)
    order = [*printed, *sorted(set(counts) - set(printed))]
    found = []
    for name in order:
        percent = 100 * counts[name] / len(values)
        printed_percent = 100 * printed[name] if name in printed else None
        detail = f"{name}: {counts[name]:,} of {len(values):,} ({percent:.1f} %)"
        found.append(Share(plain(name), percent, printed_percent, detail))
    return found


def _stem(name: str) -> str:
    """What the spellings of a category share: "role play" and "Role Playing", "Others" and "other"."""
    words = name.lower().replace("-", " ").replace("_", " ").split()
    first = words[0] if words else ""
    return " ".join(words) if first == "very" else first.rstrip("s")


def splits(source: Source) -> list[dict[str, str]]:
    """One line per split: instructions, utterances, speakers, hours of speech."""
    lines = []
    for split in SPLITS:
        spoken = [u for u in source.utterances if u.split == split]
        written = sum(i.split == split for i in source.instructions)
        if written or spoken:
            hours = sum(u.duration for u in spoken) / 3600
            speakers = len({u.speaker for u in spoken})
            line = {"split": split, "instructions": f"{written:,}", "utterances": f"{len(spoken):,}"}
            lines.append(line | {"speakers": f"{speakers:,}", "hours": f"{hours:.2f}"})
    return lines


def shared_speakers(utterances: Sequence[Spoken]) -> int:
    """How many speakers of the test split are heard in training too."""
    heard = {split: {u.speaker for u in utterances if u.split == split} for split in ("train", "test")}
    return len(heard["train"] & heard["test"])


@dataclass(frozen=True)
class Drop:
    """How many items a stage dropped for one reason, with one of them where it was kept."""

    stage: str
    reason: str
    count: int
    example: str = ""


def drops(notes: Mapping[str, Mapping[str, Any]]) -> list[Drop]:
    """Everything that the stages noted as dropped, the most frequent first in each stage.

    Notes are {reason: count}, {item: reason} or a number; those named "examples" hold {reason: texts}.
    """
    found = []
    for stage, told in notes.items():
        reasons: Counter[str] = Counter()
        examples: dict[str, Any] = {}
        for key, value in told.items():
            if "example" in key.lower():
                examples |= value if isinstance(value, Mapping) else {}
            elif any(word in key.lower() for word in ("drop", "reject", "lost", "bad_clips", "unspeakable")):
                reasons.update(_reasons(key, value))
        for reason, count in reasons.most_common():
            if count:
                texts = examples.get(reason) or [""]
                found.append(Drop(stage, plain(reason), count, " ".join(str(texts[0]).split())[:100]))
    return found


def _reasons(key: str, value: Any) -> Counter[str]:
    counted: Counter[str] = Counter()
    for reason, number in value.items() if isinstance(value, Mapping) else [(key, value)]:
        if isinstance(number, str):
            counted[number] += 1
        elif isinstance(number, int | float):
            counted[str(reason)] += int(number)
    return counted


def acoustics(utterances: Sequence[Spoken]) -> list[Share]:
    """Per cent of utterances that each acoustic step was applied to."""
    if not utterances:
        return []
    counts: Counter[str] = Counter()
    for utterance in utterances:
        counts.update(steps(utterance.acoustics).keys() or ["clean"])
    order = [(name, plain(words)) for name, words in ACOUSTICS.items()] + [("clean", "None of these")]
    share = 100 / len(utterances)
    return [Share(words, counts[name] * share, detail=f"{words}: {counts[name]:,} utterances") for name, words in order]


def words(texts: Sequence[str]) -> list[float]:
    """Length of each text that is not empty, in words."""
    return [float(len(text.split())) for text in texts if text]


def costs(source: Source) -> list[dict[str, Any]]:
    """Wall time and peak memory per stage, as the run measured them last; else the time that the manifest tells."""
    measured = {r["what"]: r for r in source.records if r.get("stage") == "run" and "what" in r}
    lines = []
    for stage in sorted({*measured, *source.seconds}, key=stage_order):
        record = measured.get(stage, {})
        seconds = float(record.get("seconds", source.seconds.get(stage, 0.0)))
        peak = record.get("peak_gib")
        memory = f"{peak:.1f} GiB" if isinstance(peak, int | float) else ""
        lines.append({"stage": stage, "seconds": seconds, "time": duration(seconds), "memory": memory, "peak": peak})
    return lines
