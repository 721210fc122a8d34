"""What models, metrics and logged values are called in a report, in which order they stand, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass

MODELS = {
    "base": "Base",
    "sft": "SFT",
    "rba-single": "RBA-Single",
    "rba-group": "RBA-Group",
    "text": "Text input",
    "cascade": "Cascade",
    "teacher": "Teacher",
}
REFERENCES = ("text", "cascade", "teacher")
"""Models that are told the words or recognise them apart: bounds for the SpeechLMs, no rivals."""

MODEL_NOTES = {
    "base": "the SpeechLM before alignment",
    "sft": "cross-entropy on the teacher's answers only",
    "rba-single": "teacher's answer preferred to the model's own, voice by voice",
    "rba-group": "best of the model's own answers preferred to the worst, across voices",
    "text": "the same language model reading the words: the ceiling of hearing",
    "cascade": "a speech recogniser in front of the same language model",
    "teacher": "the teacher reading the words",
}


@dataclass(frozen=True)
class Metric:
    """How a metric is shown: `percent` values are stored as shares; `better` is +1 up, -1 down, 0 neither."""

    name: str
    percent: bool = False
    decimals: int = 3
    better: int = 1
    note: str = ""
    main: bool = False

    def format(self, value: float) -> str:
        """The value as text, without a unit."""
        return f"{value * 100:.1f}" if self.percent else f"{value:,.{self.decimals}f}"


def model_name(model: str) -> str:
    """A model's name for people."""
    return MODELS.get(model, model)


def model_class(model: str) -> str:
    """The CSS class of a model's colour."""
    return f"m-{model}" if model in MODELS else "m-other"


def model_order(model: str) -> tuple[int, str]:
    """Sort key: the known models first, in their fixed order; references after every SpeechLM."""
    known = list(MODELS)
    if model in REFERENCES:
        return 100 + known.index(model), model
    return (known.index(model) if model in MODELS else 50), model


def plain(name: str) -> str:
    """An identifier as words: "loss/ce_term" -> "Loss, ce term"."""
    words = name.replace("/", ", ").replace("_", " ").replace("-", " ").strip()
    return words[:1].upper() + words[1:]


METRICS = {
    "recall": Metric("Reference-word recall", note="share of the teacher's content words that the answer holds", main=True),
    "similarity": Metric("Similarity", note="cosine of sentence embeddings with the teacher's answer", main=True),
    "win_rate": Metric("Win rate", percent=True, note="share of answers that the judge prefers, in per cent", main=True),
    "lc_win_rate": Metric("LC win rate", percent=True, note="win rate at equal answer length, in per cent"),
    "consistency": Metric("Consistency", note="mean cosine between the answers to one request in other voices", main=True),
    "distinct_1": Metric("Distinct-1", note="distinct words over all words: generic answers lower it"),
    "distinct_2": Metric("Distinct-2", note="distinct word pairs over all pairs: generic answers lower it", main=True),
    "length": Metric("Words", decimals=1, better=0, note="mean length of an answer"),
    "deaf": Metric("Did not hear", percent=True, better=-1, note="answers that say so, in per cent"),
}


def metric(name: str) -> Metric:
    """How the metric `name` is shown; an unknown one plainly, with no best value."""
    return METRICS.get(name, Metric(plain(name), better=0))
