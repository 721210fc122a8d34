"""What the tokens of two vocabularies say, and the finest classes in which next-token distributions compare.

A model that goes on with a token goes on with its text, and so with the first token that the *other* vocabulary writes
that text with. Each token is joined with that first token of the other vocabulary; what is joined, also through others,
is one class. Where a text can be continued in both vocabularies, both distributions have a mass for every class, and
no finer division has one for both. A word that both write as one token is a class of its own; words that one
vocabulary has and the other spells share a class with the piece that they begin with. By the data-processing inequality
a divergence between the masses of classes is never above that between the distributions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

NOTHING = -1
LEAST = 1e-12
"""A mass that a class is taken to have at least, so that its logarithm is finite."""


def token_bytes(tokenizer: Any) -> list[bytes]:
    """The bytes that each token adds to a text, by id; special tokens add none.

    Empty for a tokenizer whose tokens are not pieces of text in UTF-8 (neither byte-level nor SentencePiece's).
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    kinds = _kinds(json.loads(backend.to_str())["decoder"]) if backend is not None else set()
    if not kinds & {"ByteLevel", "Metaspace", "ByteFallback"}:
        return []
    byte_level = "ByteLevel" in kinds
    read = _byte_level() if byte_level else None
    found = [b""] * len(tokenizer)
    added = tokenizer.added_tokens_decoder
    special = {*tokenizer.all_special_ids, *(i for i, token in added.items() if token.special)}
    for token, i in tokenizer.get_vocab().items():
        if i in special:
            continue
        if i in added:
            found[i] = token.encode()
        elif read is not None:
            found[i] = bytes(read.get(char, 0) for char in token)
        elif len(token) == 6 and token.startswith("<0x"):
            found[i] = bytes([int(token[3:5], 16)])
        else:
            found[i] = token.replace("\u2581", " ").encode()
    return found


def _kinds(decoder: Any) -> set[str]:
    """The types of a decoder and of those that it is a sequence of; SentencePiece's replaces the mark for a space."""
    if not decoder:
        return set()
    if decoder["type"] == "Replace" and decoder.get("content") == " ":
        return {"Metaspace"}
    return {decoder["type"]}.union(*(_kinds(part) for part in decoder.get("decoders", ())))


def _byte_level() -> dict[str, int]:
    """The characters that byte-level tokenizers write bytes with: printable ones as they are, others from U+0100 on."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + i): byte for i, byte in enumerate(rest)}


def first_pieces(own: Any, own_bytes: Sequence[bytes], other_bytes: Sequence[bytes]) -> torch.Tensor:
    """For each token of another vocabulary the id of the token of `own` that its text begins with [V'] (long).

    `NOTHING` for tokens without a text and for those whose text begins with no token of `own`.
    """
    ids = {text: i for i, text in reversed(list(enumerate(own_bytes))) if text}
    longest = max(map(len, ids), default=0)
    found = [ids.get(text, NOTHING) if text else NOTHING for text in other_bytes]
    split = [i for i, text in enumerate(other_bytes) if text and found[i] == NOTHING]
    texts = [other_bytes[i].decode(errors="replace") for i in split]
    written = own(texts, add_special_tokens=False)["input_ids"] if texts else []
    for i, pieces in zip(split, written):
        text = other_bytes[i]
        first = own_bytes[pieces[0]] if pieces else b""
        if first and text.startswith(first):
            found[i] = pieces[0]
            continue
        # part of a character, or a text that is written otherwise where nothing stands before it
        sizes = range(min(longest, len(text)), 0, -1)
        found[i] = next((ids[text[:size]] for size in sizes if text[:size] in ids), NOTHING)
    return torch.tensor(found)


@dataclass(frozen=True)
class Classes:
    """The class of every token of this model's vocabulary [V], and of the other's [V'] (long); `count` classes.

    Class 0 are the tokens that no token of the other vocabulary goes with.
    """

    own_V: torch.Tensor
    other_V: torch.Tensor
    count: int

    def to(self, device: torch.device) -> Classes:
        """The same on a device."""
        return Classes(self.own_V.to(device), self.other_V.to(device), self.count)

    def masses(self, logp_CV: torch.Tensor, other: bool = False) -> torch.Tensor:
        """Log-probs [C, `count`] of the classes from log-probs of own tokens, or of the `other`'s; keeps the graph.

        Columns beyond those that a tokenizer has tokens for (padded heads) belong to class 0.
        """
        of_V = self.other_V if other else self.own_V
        of_V = torch.nn.functional.pad(of_V, (0, max(0, logp_CV.shape[-1] - len(of_V))))
        kept_CV = logp_CV[:, : len(of_V)].exp()
        empty_CK = kept_CV.new_zeros(len(kept_CV), self.count)
        return empty_CK.index_add(1, of_V[: kept_CV.shape[-1]], kept_CV).clamp_min(LEAST).log()


def shared_classes(own: Any, own_ends: Sequence[int], other: Any, other_ends: Sequence[int]) -> Classes:
    """The classes of two tokenizers that `token_bytes` can read; the tokens that end a turn are one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    own_bytes, other_bytes = token_bytes(own), token_bytes(other)
    size, width = len(own_bytes), len(other_bytes)
    to_other = first_pieces(other, other_bytes, own_bytes)
    to_own = first_pieces(own, own_bytes, other_bytes)
    joined = [(i, size + j) for i, j in enumerate(to_other.tolist()) if j != NOTHING]
    joined += [(j, size + i) for i, j in enumerate(to_own.tolist()) if j != NOTHING]
    ends = [*own_ends, *(size + end for end in other_ends)]
    joined += [(ends[0], end) for end in ends[1:]]
    rows, columns = torch.tensor(joined).T.numpy()
    graph = coo_array(([True] * len(joined), (rows, columns)), shape=(size + width, size + width))
    label_N = torch.from_numpy(connected_components(graph, directed=False)[1]).long()
    kept_L = label_N[torch.tensor(joined)[:, 0]].unique()
    class_L = label_N.new_zeros(int(label_N.max()) + 1)
    class_L[kept_L] = torch.arange(1, len(kept_L) + 1)
    return Classes(class_L[label_N[:size]], class_L[label_N[size:]], len(kept_L) + 1)
