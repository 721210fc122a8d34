"""Translations: corpus BLEU and chrF as sacrebleu computes them, with its signatures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rba.evaluation.benchmarks.item import Item
from rba.evaluation.benchmarks.measures import Measure, corpus, mean
from rba.evaluation.benchmarks.settings import BenchmarkSettings
from rba.lm.task import word_cut


def target_of(settings: BenchmarkSettings) -> str:
    """The language that a benchmark translates to, from its subset: "de" of "en_de", "en_us-de_de" and "en-de".

    Where "_" parts the two, a region follows "-": "zh" of "en_zh-CN", "en" of "sv-SE_en".
    """
    regional = settings.format in ("covost2", "pairs", "must-c") or "-" not in settings.subset
    target = parted(settings.subset)[1] if regional else settings.subset.partition("-")[2]
    return target.replace("-", "_").partition("_")[0].lower()


def parted(subset: str) -> tuple[str, str]:
    """The two languages of a subset, parted by its first "_" or, where there is none, by "-"."""
    source, _, target = subset.partition("_" if "_" in subset else "-")
    return source, target


def score(items: Sequence[Item], answers: Sequence[str], target: str) -> dict[str, Measure]:
    """Corpus BLEU and chrF2 in [0, 1]; `target` is the language translated to."""
    references = [item.references for item in items]
    return {
        "bleu": corpus(bleu_metric(target), answers, references),
        "chrf": corpus(chrf_metric(), answers, references),
        "no_answer": mean([not answer.strip() for answer in answers], better=-1),
    }


def bleu_metric(target: str) -> Any:
    """sacrebleu's BLEU, tokenised for a language: "zh", by character where no spaces are written, else "13a"."""
    from sacrebleu.metrics import BLEU

    return BLEU(tokenize=word_cut(target))


def chrf_metric() -> Any:
    """sacrebleu's chrF2."""
    from sacrebleu.metrics import CHRF

    return CHRF()


def signatures(target: str) -> dict[str, str]:
    """How BLEU and chrF are computed, as sacrebleu writes it."""
    found = {}
    for name, metric in (("bleu", bleu_metric(target)), ("chrf", chrf_metric())):
        metric.corpus_score(["a"], [["a"]])  # the signature counts the references of the last call
        found[name] = str(metric.get_signature())
    return found
