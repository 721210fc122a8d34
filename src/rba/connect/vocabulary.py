"""The tokens a connector may read: the frequent ones, and short pieces that spell all others.

A name that the corpus holds once gives no token of its own enough examples; spelled with pieces that every text
shares, it can be heard the first time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

SPACE_SIGNS = "\u0120\u2581"


class SpeechVocabulary:
    """Which LLM tokens a connector uses (`ids`, sorted) and how a text is written with them alone."""

    def __init__(self, tokenizer: Any, ids: Iterable[int]):
        self.tokenizer = tokenizer
        self.ids = sorted(set(ids))
        pieces = tokenizer.convert_ids_to_tokens(self.ids)
        self._id_of = dict(zip(pieces, self.ids))
        self._longest = max(map(len, pieces))
        self._spelling: dict[int, list[int]] = {i: [i] for i in self.ids}

    def encode(self, text: str) -> list[int]:
        """LLM token ids of `text`, those outside the vocabulary spelled with shorter ones (longest piece first)."""
        return [p for token in self.tokenizer(text, add_special_tokens=False)["input_ids"] for p in self._spell(token)]

    def _spell(self, token: int) -> list[int]:
        if token not in self._spelling:
            self._spelling[token] = list(
                _split(self.tokenizer.convert_ids_to_tokens(token), self._id_of, self._longest)
            )
        return self._spelling[token]


def _split(piece: str, id_of: dict[str, int], longest: int) -> Iterable[int]:
    start = 0
    while start < len(piece):
        for end in range(min(len(piece), start + longest), start, -1):
            if piece[start:end] in id_of:
                yield id_of[piece[start:end]]
                start = end
                break
        else:
            start += 1  # a character no token spells alone is not heard


def build_vocabulary(
    tokenizer: Any, texts: Iterable[str], min_count: int, known: Iterable[int] = ()
) -> SpeechVocabulary:
    """The vocabulary of a corpus: tokens seen at least `min_count` times, and all one- and two-letter ASCII pieces.

    `known` tokens belong to it in any case.
    """
    counts: Counter[int] = Counter()
    for text in texts:
        counts.update(tokenizer(text, add_special_tokens=False)["input_ids"])
    frequent = {token for token, count in counts.items() if count >= min_count}
    special = set(tokenizer.all_special_ids)
    pieces = {i for piece, i in tokenizer.get_vocab().items() if _is_short(piece)}
    return SpeechVocabulary(tokenizer, (frequent | pieces | set(known)) - special)


def _is_short(piece: str) -> bool:
    """One or two ASCII letters, or one digit or mark, alone or after the tokenizer's space sign; or that sign."""
    body = piece[1:] if piece[:1] in SPACE_SIGNS else piece
    return body.isascii() and (len(body) <= 1 or (len(body) == 2 and body.isalpha() and body.islower()))
