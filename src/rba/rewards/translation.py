"""BLEU and chrF of an answer against the teacher's, sentence by sentence, as sacrebleu computes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class _SentenceScore:
    """One of sacrebleu's metrics as a reward; `signature` says how it was computed."""

    def __init__(self, metric: Any, name: str):
        self.metric, self.name = metric, name
        metric.sentence_score("a", ["a"])  # the signature counts the references of the last call
        self.signature = str(metric.get_signature())

    def __call__(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        completion_ids: Sequence[Sequence[int]] | None = None,
        *,
        reference: Sequence[str],
        **columns: Any,
    ) -> list[float | None]:
        """One value in [0, 1] per completion; None where the reference is blank."""
        return [self._one(answer, wanted) if wanted.strip() else None for answer, wanted in zip(completions, reference)]

    def _one(self, answer: str, wanted: str) -> float:
        return self.metric.sentence_score(answer, [wanted]).score / 100


class Bleu(_SentenceScore):
    """Sentence BLEU in [0, 1] (Papineni et al. 2002) with effective order, so that short answers are not all zero.

    `tokenize` is sacrebleu's: "13a" for languages written with spaces, "zh" for Chinese, "char" for any other.
    """

    def __init__(self, tokenize: str = "13a", name: str = "bleu"):
        from sacrebleu.metrics import BLEU

        super().__init__(BLEU(tokenize=tokenize, effective_order=True), name)


class Chrf(_SentenceScore):
    """Sentence chrF2 in [0, 1] (Popovic 2015): character n-grams up to 6, recall counts twice; for any language."""

    def __init__(self, name: str = "chrf"):
        from sacrebleu.metrics import CHRF

        super().__init__(CHRF(), name)
