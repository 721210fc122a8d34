"""The settings of one benchmark. Importing this loads nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from rba.errors import RecipeError

FORMATS = {
    "manifest": "qa",
    "llama-questions": "qa",
    "web-questions": "qa",
    "trivia-qa": "qa",
    "squad": "qa",
    "alpaca-eval": "open",
    "ifeval": "ifeval",
    "voicebench": "",
    "librispeech": "asr",
    "covost2": "translation",
    "fleurs": "translation",
    "must-c": "translation",
    "pairs": "translation",
}
"""Layouts of benchmark data, and the scorer of each; VoiceBench's depends on its subset."""

VOICEBENCH = {
    "alpacaeval": "open",
    "alpacaeval_full": "open",
    "commoneval": "open",
    "wildvoice": "open",
    "sd-qa": "qa",
    "mmsu": "choice",
    "openbookqa": "choice",
    "bbh": "choice",
    "ifeval": "ifeval",
    "advbench": "refusal",
}
"""Subsets of VoiceBench, and what scores each without a judge."""

SCORERS = ("qa", "choice", "open", "ifeval", "refusal", "asr", "translation")


@dataclass(frozen=True)
class BenchmarkSettings:
    """One benchmark: where its data are, in which layout, and how it is asked and scored (docs/benchmarks.md)."""

    name: str  # what its rows in results.json are called
    format: str  # the layout of the data
    source: str  # a local file or folder, or a hub id such as "owner/name"
    subset: str = ""  # part of it, as the source names it; for translations the pair of languages, "en_de"
    split: str = "test"
    scorer: str = ""  # empty: the layout's own
    items: int = 100  # drawn by hash, at most; 0: all of them
    system: str = ""  # system turn that every model answers under
    max_new_tokens: int = 64  # longest answer, the end token included

    def __post_init__(self) -> None:
        """Raise RecipeError for values that cannot work."""
        _check(bool(self.name.strip(".")) and "/" not in self.name, "name", "give a name without /")
        _check(self.name not in ("heldout", "robustness"), f"name: {self.name}", "this name is taken; choose another")
        _check(self.format in FORMATS, f"format: {self.format}", f"choose from {', '.join(FORMATS)}")
        known = self.format != "voicebench" or self.subset in VOICEBENCH
        _check(known, f'subset: "{self.subset}"', f"VoiceBench has {', '.join(VOICEBENCH)}")
        _check(self.scorer in ("", *SCORERS), f"scorer: {self.scorer}", f"choose from {', '.join(SCORERS)}")
        _check(bool(self.source), "source", "give a file, a folder or a hub id")
        _check(self.items >= 0, "items", "give 0 or more")
        _check(self.max_new_tokens >= 1, "max_new_tokens", "give 1 or more")


def _check(good: bool, key: str, fix: str) -> None:
    if not good:
        raise RecipeError("this value cannot work", f"benchmarks: {key}", fix)
