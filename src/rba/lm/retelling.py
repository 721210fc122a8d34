"""An answer of one model in the tokens of another: where both tokenizations of its text break, and what lies between.

Between two common breaks lies a *chunk*: the same bytes in both, as a rule one token in each. At a common break both
models stand before the same text, so their next-token distributions can be compared (`rba.lm.vocabulary`); a chunk's
log-prob is the sum of its tokens' in either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch

from rba.lm import chat
from rba.lm.vocabulary import token_bytes


@dataclass(frozen=True)
class Chunk:
    """Tokens `start` to `stop` of an answer say what `other_start` to `other_stop` of its retelling do."""

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
        """Log-probs of the other's tokens -> one for each token of the answer, a chunk's in equal parts; same sum."""
        parts = [logp_R[c.other_start : c.other_stop].sum() / (c.stop - c.start) for c in self.chunks]
        counts = torch.tensor([c.stop - c.start for c in self.chunks], device=logp_R.device)
        return torch.stack(parts).repeat_interleave(counts)


class Reteller:
    """Retells answers from the tokens of `own` in those of `other`; their turns end with the given tokens.

    Both are tokenizers that `token_bytes` can read.
    """

    def __init__(self, own: Any, own_ends: Sequence[int], other: Any, other_end: int):
        self.other, self.own_ends, self.other_end = other, set(own_ends), other_end
        self._own_bytes, self._other_bytes = token_bytes(own), token_bytes(other)
        self._own_leads, self._other_leads = _leads(own, self._own_bytes), _leads(other, self._other_bytes)

    def __call__(self, answer: Sequence[int]) -> Retelling:
        """The text of `answer`, in UTF-8 as far as it is whole, and its end of turn if it has one."""
        ended = bool(answer) and answer[-1] in self.own_ends
        said = list(answer[:-1] if ended else answer)
        told = [self._own_bytes[i] for i in said]
        joined = b"".join(told)
        lead = int(self._own_leads and joined.startswith(b" "))
        text = joined[lead:].decode(errors="ignore")
        ids = chat.response_ids(self.other, text, None)
        written = [self._other_bytes[i] for i in ids]
        other_lead = int(self._other_leads and bool(text))
        if b"".join(written)[other_lead:] == text.encode():
            chunks = _chunks(_breaks(told, lead), _breaks(written, other_lead))
        else:  # the other normalises what it reads: the text as a whole is what both say
            chunks = [Chunk(0, len(said), 0, len(ids))] if said else []
        if ended:
            chunks.append(Chunk(len(said), len(said) + 1, len(ids), len(ids) + 1))
            ids = [*ids, self.other_end]
        alike = [i for i, c in enumerate(chunks) if c.other_start < c.other_stop and (c.start or lead == other_lead)]
        return Retelling(tuple(ids), tuple(chunks), tuple(alike))


def _leads(tokenizer: Any, written: Sequence[bytes]) -> bool:
    """Whether a tokenizer writes a text as if a space stood before it, as SentencePiece's do."""
    return b"".join(written[i] for i in chat.response_ids(tokenizer, "a", None)) == b" a"


def _breaks(told: Sequence[bytes], lead: int) -> list[int]:
    """The offsets between tokens in a text that has `lead` bytes less at its beginning."""
    return [max(0, at - lead) for at in accumulate(map(len, told), initial=0)]


def _chunks(own: Sequence[int], other: Sequence[int]) -> list[Chunk]:
    """Chunks between the offsets at which both have a break; tokens without a text belong to the chunk before them."""
    last, other_last = ({at: i for i, at in enumerate(breaks)} for breaks in (own, other))
    common = sorted(last.keys() & other_last.keys() - {0})
    # what is left at the end is half a character, which the other cannot write
    ends = [(last[at], other_last[at]) for at in common] + [(len(own) - 1, len(other) - 1)]
    starts = [(0, 0), *ends]
    return [Chunk(a, b, c, d) for (a, c), (b, d) in zip(starts, ends) if a < b]
