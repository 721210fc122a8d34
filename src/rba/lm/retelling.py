"""An answer of one model in the tokens of another: where both tokenizations of its text break, and what lies between.

Between two common breaks lies a *chunk*: the same bytes in both, as a rule one token in each. At a common break both
models stand before the same text, so their next-token distributions can be compared (`rba.lm.vocabulary`); a chunk's
log-prob is the sum of its tokens' in either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import torch

from rba.lm.vocabulary import Classes, Vocabulary


@dataclass(frozen=True)
class Chunk:
    """Tokens `start` to `stop` of an answer say what `other_start` to `other_stop` of its retelling do.

    There are none of the other's for what it cannot write: half a character, and all after it.
    """

    start: int
    stop: int
    other_start: int
    other_stop: int


@dataclass(frozen=True)
class Retelling:
    """An answer in another model's tokens `ids`, its chunks in order, and the numbers of the `comparable` ones.

    Before a comparable chunk both models stand before the same text, and write on in the same manner.
    """

    ids: tuple[int, ...]
    chunks: tuple[Chunk, ...]
    comparable: tuple[int, ...]

    def spread(self, logp_R: torch.Tensor) -> torch.Tensor:
        """Log-probs of the other's tokens -> one for each token of the answer, a chunk's in equal parts; same sum.

        NaN for tokens that the other cannot write.
        """
        said = logp_R.tolist()  # at once: on a GPU every chunk would be several small kernels
        told = list[float]()
        for c in self.chunks:
            share = sum(said[c.other_start : c.other_stop]) / (c.stop - c.start)
            told += [share if c.other_start < c.other_stop else math.nan] * (c.stop - c.start)
        return torch.tensor(told, dtype=logp_R.dtype, device=logp_R.device)


class Reteller:
    """Retells answers from the tokens of `own` in those of `other`, whose turns end with its first end.

    With `classes` only chunks that begin with tokens of one class are comparable.
    """

    def __init__(self, own: Vocabulary, other: Vocabulary, classes: Classes | None = None):
        self.own, self.other = own, other
        self._classes = None if classes is None else (classes.own_V.tolist(), classes.other_V.tolist())
        self._retell = lru_cache(4096)(self._told)

    def __call__(self, answer: Sequence[int]) -> Retelling:
        """The text of `answer`, as far as it is UTF-8, and its end of turn if it has one."""
        return self._retell(tuple(answer))

    def _told(self, answer: tuple[int, ...]) -> Retelling:
        ended = bool(answer) and answer[-1] in self.own.ends
        told = [self.own.said(i) for i in (answer[:-1] if ended else answer)]
        joined = b"".join(told)
        lead = int(self.own.leads and joined.startswith(b" "))
        text = _valid(joined[lead:])
        size = len(text.encode())
        whole = size == len(joined) - lead  # what follows half a character cannot be told, nor can the end
        ids = self.other.write(text)
        written = [self.other.said(i) for i in ids]
        other_lead = int(self.other.leads and bool(text))
        if b"".join(written)[other_lead:] == text.encode():
            chunks = _chunks(_breaks(told, lead, size), _breaks(written, other_lead, size))
        else:  # the other normalises what it reads: the text as a whole is what both say
            chunks = [Chunk(0, len(told), 0, len(ids))] if told else []
        if ended:
            chunks.append(Chunk(len(told), len(answer), len(ids), len(ids) + whole))
            ids = [*ids, *self.other.ends[:whole]]
        alike = [i for i, c in enumerate(chunks) if (c.start or lead == other_lead) and self._alike(c, answer, ids)]
        return Retelling(tuple(ids), tuple(chunks), tuple(alike))

    def _alike(self, chunk: Chunk, answer: Sequence[int], ids: Sequence[int]) -> bool:
        """Whether there is a token of the other's, and both begin with tokens of one class."""
        if chunk.other_start == chunk.other_stop or self._classes is None:
            return chunk.other_start < chunk.other_stop
        own, other = self._classes
        first = answer[chunk.start]
        return first < len(own) and own[first] == other[ids[chunk.other_start]]


def _valid(said: bytes) -> str:
    """The text of bytes up to the first that is no UTF-8."""
    try:
        return said.decode()
    except UnicodeDecodeError as error:
        return said[: error.start].decode()


def _breaks(told: Sequence[bytes], lead: int, size: int) -> list[int]:
    """The offsets between tokens in a text of `size` bytes, which has `lead` less at its beginning; -1 beyond it."""
    found = [max(0, at - lead) for at in accumulate(map(len, told), initial=0)]
    return [at if at <= size else -1 for at in found]


def _chunks(own: Sequence[int], other: Sequence[int]) -> list[Chunk]:
    """Chunks between the offsets at which both have a break; tokens without a text belong to the chunk before them."""
    last, other_last = ({at: i for i, at in enumerate(breaks)} for breaks in (own, other))
    common = sorted(last.keys() & other_last.keys() - {0, -1})
    # what is left at the end is what the other cannot write
    ends = [(last[at], other_last[at]) for at in common] + [(len(own) - 1, len(other) - 1)]
    starts = [(0, 0), *ends]
    return [Chunk(a, b, c, d) for (a, c), (b, d) in zip(starts, ends) if a < b]
