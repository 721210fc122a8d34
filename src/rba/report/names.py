"""What models, metrics and logged values are called in a report, in which order they stand, and which way is better."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from rba.alignment.objectives.titles import TITLES

MODELS = {
    "base": "Base",
    **{method: title for method, (title, _) in TITLES.items()},
    "text": "Text input",
    "cascade": "Cascade",
    "teacher": "Teacher",
}
OWN_COLOURS = ("#8b5cf6", "#2a9d4b", "#e0559b", "#e2662c", "#0f8fd1", "#7a8b1f", "#6f7fdc", "#b23a48")
"""Colours of the models that a recipe names, in their order; page.css has those of `MODELS`."""
REFERENCES = ("text", "cascade", "teacher")
"""Models that are told the words or recognise them apart: bounds for the SpeechLMs, no rivals."""

MODEL_NOTES = {
    "base": "the SpeechLM before alignment",
    **{method: note for method, (_, note) in TITLES.items()},
    "text": "the same language model reading the words: the ceiling of hearing",
    "cascade": "a speech recogniser in front of the same language model",
    "teacher": "the teacher reading the words",
}


@dataclass(frozen=True)
class Metric:
    """How a metric is shown: `percent` values are stored as shares; `better` is +1 up, -1 down, 0 neither.

    `main` metrics get a plot. `signed` ones are differences and show their sign.
    """

    name: str
    note: str = ""
    percent: bool = False
    decimals: int = 3
    better: int = 1
    main: bool = False
    signed: bool = False

    def format(self, value: float) -> str:
        """The value as text, without a unit."""
        shown = value * 100 if self.percent else value
        decimals = 1 if self.percent else self.decimals
        text = f"{shown:+,.{decimals}f}" if self.signed else f"{shown:,.{decimals}f}"
        return text.replace("-", "\u2212")


METRICS = {
    "bleu": Metric("BLEU", "corpus BLEU of sacrebleu", percent=True, main=True),
    "chrf": Metric("chrF", "corpus chrF2 of sacrebleu", percent=True, main=True),
    "recall": Metric("Reference-word recall", "share of the teacher's content words that the answer holds", main=True),
    "f1": Metric("Word F1", "harmonic mean of that recall and the precision: saying more gains nothing", main=True),
    "similarity": Metric("Similarity", "cosine of sentence embeddings with the teacher's answer", main=True),
    "text_share": Metric(
        "Of text ceiling", "recall as a share of the same LLM's when it reads the words", percent=True
    ),
    "consistency": Metric("Consistency", "mean cosine of the answers to one request in several voices", main=True),
    "distinct_2": Metric("Distinct-2", "distinct word pairs over all: generic answers lower it", main=True),
    "win_rate": Metric("Win rate", "how often the judge prefers the answer, in per cent", percent=True, main=True),
    "lc_win_rate": Metric("LC win rate", "the win rate at equal answer length, in per cent", percent=True),
    "ties": Metric("Ties", "how often the judge prefers neither, in per cent", percent=True, better=0),
    "contains": Metric("Contains", "answers that hold an accepted one, in per cent", percent=True),
    "exact": Metric("Exact", "answers that are an accepted one, in per cent", percent=True),
    "token_recall": Metric("Token recall", "share of the accepted answer's words that are said", percent=True),
    "token_f1": Metric("Token F1", "harmonic mean of that recall and the precision", percent=True),
    "accuracy": Metric("Accuracy", "right options, in per cent", percent=True),
    "prompt_strict": Metric("Prompts, strict", "answers that follow all their instructions, in per cent", percent=True),
    "prompt_loose": Metric("Prompts, loose", "the same without first line, last line or asterisks", percent=True),
    "instruction_strict": Metric("Instructions, strict", "instructions that are followed, in per cent", percent=True),
    "instruction_loose": Metric("Instructions, loose", "the same, loosely", percent=True),
    "wer": Metric("WER", "word error rate of the answer as a transcript", percent=True, better=-1),
    "refused": Metric("Refused", "answers with the words of a refusal, in per cent", percent=True, better=0),
    "no_answer": Metric("No answer", "answers that answer nothing, in per cent", percent=True, better=-1),
    "clean_share": Metric("Of clean", "recall as a share of the same model's in clean speech", percent=True),
    "distinct_1": Metric("Distinct-1", "distinct words over all: generic answers lower it"),
    "transcript_wer": Metric(
        "Transcript WER", "word error rate of what was read off the speech", percent=True, better=-1
    ),
    "deaf": Metric("Did not hear", "answers that say so, in per cent", percent=True, better=-1),
    "finished": Metric("Ended", "answers that ended by themselves, in per cent", percent=True),
    "length": Metric("Words", "mean length of an answer", decimals=1, better=0),
    "tokens": Metric("Tokens", "mean length of an answer", decimals=1, better=0),
    "delta_f1": Metric("Word F1", "difference in word F1", signed=True),
    "delta_recall": Metric("Recall", "difference in reference-word recall", signed=True),
    "delta_similarity": Metric("Similarity", "difference in similarity", signed=True),
    "delta_consistency": Metric("Consistency", "difference in consistency", signed=True),
    "delta_contains": Metric("Contains", "difference in answers that hold an accepted one", percent=True, signed=True),
    "delta_accuracy": Metric("Accuracy", "difference in right options", percent=True, signed=True),
    "delta_prompt_strict": Metric(
        "Prompts, strict", "difference in answers that follow all", percent=True, signed=True
    ),
    "delta_wer": Metric("WER", "difference in word error rate", percent=True, better=-1, signed=True),
    "delta_refused": Metric(
        "Refused", "difference in answers with the words of a refusal", percent=True, better=0, signed=True
    ),
    "delta_bleu": Metric("BLEU", "difference in corpus BLEU", percent=True, signed=True),
    "delta_chrf": Metric("chrF", "difference in corpus chrF2", percent=True, signed=True),
    "gap_closed": Metric("Gap closed", "share of the recall gap between speech and text that is closed", percent=True),
}
"""Every metric of evaluation, in the order of its columns."""


def metric(name: str) -> Metric:
    """How the metric `name` is shown; an unknown one plainly, with no best value."""
    return METRICS.get(name, Metric(plain(name), better=0))


def metric_order(name: str) -> tuple[int, str]:
    """Sort key: the known metrics first, in their fixed order."""
    known = list(METRICS)
    return (known.index(name) if name in METRICS else len(known)), name


def place_name(benchmark: str, condition: str) -> str:
    """A benchmark and a condition in words: "Held-out speech, telephone"."""
    benchmark = {"heldout": "Held-out speech"}.get(benchmark, plain(benchmark))
    return benchmark if condition in ("", "all") else f"{benchmark}, {plain(condition).lower()}"


def model_name(model: str) -> str:
    """A model's name for people."""
    return MODELS.get(model, model)


def model_class(model: str) -> str:
    """The CSS class of a model's colour."""
    return f"m-{re.sub(r'[^a-z0-9-]', '_', model)}"


def own_colours(models: Iterable[str]) -> str:
    """CSS rules for those of `models` that a recipe has named; the ninth of them has the first one's colour again."""
    own = dict.fromkeys(model_class(model) for model in models if model not in MODELS)
    return "".join(f".{name} {{ --c: {OWN_COLOURS[place % len(OWN_COLOURS)]}; }}\n" for place, name in enumerate(own))


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
