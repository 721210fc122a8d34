"""What the tokens of two vocabularies say, and the classes in which their next-token distributions are compared.

A model that goes on with a token goes on with its text, and so, as a rule, with the token that the *other* vocabulary
begins that text with. Each token is joined with that first token of the other vocabulary; what is joined, also through
others, is one class, and both distributions give each class a mass. A word that both write as one token is a class of
its own; words that one vocabulary has and the other spells share a class with the piece that they begin with.

A longer word may begin with another piece than the token alone ("total" and "totalitarian"): where the tokens that two
models write are of different classes although they say the same text, the classes do not compare them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

NOTHING = -1
LEAST = 1e-30
"""A mass that a class is taken to have at least, so that its logarithm is finite."""
SPACE = "\u2581"
"""What SentencePiece writes for a space."""


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer, the bytes that each of its tokens adds to a text, by id, and the ids that end a turn, own one first.

    Special tokens and ends add no bytes. `leads` says that a text is written as if a space stood before it.
    """

    tokenizer: Any
    table: Sequence[bytes]
    ends: Sequence[int]
    leads: bool

    def said(self, token: int) -> bytes:
        """The bytes of a token; none of ids that the tokenizer does not know (a padded head may draw them)."""
        return self.table[token] if token < len(self.table) else b""

    def write(self, text: str) -> list[int]:
        """The tokens of a text; what looks like a special token in it is spelled."""
        found = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return list(found["input_ids"])


def read_vocabulary(tokenizer: Any, ends: Sequence[int]) -> Vocabulary | None:
    """The vocabulary of a tokenizer whose turns end with `ends`.

    None if its tokens are not pieces of text in UTF-8 (neither byte-level nor SentencePiece's).
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    kinds = _kinds(json.loads(backend.to_str())["decoder"]) if backend is not None else set()
    if not kinds & {"ByteLevel", "Metaspace", "ByteFallback"}:
        return None
    read = _byte_level() if "ByteLevel" in kinds else None
    ids, added = tokenizer.get_vocab(), tokenizer.added_tokens_decoder
    silent = {*ends, *tokenizer.all_special_ids, *(i for i, token in added.items() if token.special)}
    table = [b""] * (1 + max(ids.values()))
    for token, i in ids.items():
        if i not in silent:
            table[i] = _bytes(token, read, i in added)
    letter = b"".join(table[i] for i in tokenizer("a", add_special_tokens=False)["input_ids"])
    return Vocabulary(tokenizer, table, [end for end in ends if end < len(table)], letter == b" a")


def _bytes(token: str, read: dict[str, int] | None, added: bool) -> bytes:
    """What a token says; `read` are the characters of byte-level tokenizers. An added one stands as it is written."""
    if read is not None:
        return token.encode() if added else bytes(read.get(char, 0) for char in token)
    if len(token) == 6 and token.startswith("<0x"):
        return bytes([int(token[3:5], 16)])
    return token.replace(SPACE, " ").encode()


def _kinds(decoder: Any) -> set[str]:
    """The types of a decoder and of those that it is a sequence of; SentencePiece's replaces the mark for a space."""
    if not decoder:
        return set()
    if decoder["type"] == "Replace" and decoder.get("content") == " ":
        return {"Metaspace"}
    return {decoder["type"]}.union(*(_kinds(part) for part in decoder.get("decoders", ())))


def _byte_level() -> dict[str, int]:
    """The characters that byte-level tokenizers write bytes with."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return {char: byte for byte, char in bytes_to_unicode().items()}


def first_pieces(own: Vocabulary, texts: Sequence[bytes]) -> torch.Tensor:
    """The id of the token that `own` begins each text with [N] (long).

    `NOTHING` for empty texts and those that begin with no token of `own`.
    """
    ids = {text: i for i, text in reversed(list(enumerate(own.table))) if text}
    longest = max(map(len, ids), default=0)
    found = [ids.get(text, NOTHING) if text else NOTHING for text in texts]
    split = [i for i, text in enumerate(texts) if text and found[i] == NOTHING]
    whole = [texts[i].decode(errors="replace") for i in split]
    written = own.tokenizer(whole, add_special_tokens=False)["input_ids"] if whole else []
    for i, pieces in zip(split, written):
        first = own.said(pieces[0]) if pieces else b""
        if first and texts[i].startswith(first):
            found[i] = pieces[0]
            continue
        # part of a character, or a text that is written otherwise where nothing stands before it
        sizes = range(min(longest, len(texts[i])), 0, -1)
        found[i] = next((ids[texts[i][:size]] for size in sizes if texts[i][:size] in ids), NOTHING)
    return torch.tensor(found, dtype=torch.long)


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
        of_V = torch.nn.functional.pad(of_V, (0, logp_CV.shape[-1] - len(of_V)))
        empty_CK = logp_CV.new_zeros(len(logp_CV), self.count)
        return empty_CK.index_add(1, of_V, logp_CV.exp()).clamp_min(LEAST).log()


def shared_classes(own: Vocabulary, other: Vocabulary) -> Classes:
    """The classes of two vocabularies; the tokens that end a turn are one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    size, width = len(own.table), len(other.table)
    joined = [(i, size + j) for i, j in enumerate(first_pieces(other, own.table).tolist()) if j != NOTHING]
    joined += [(j, size + i) for i, j in enumerate(first_pieces(own, other.table).tolist()) if j != NOTHING]
    ends = [*own.ends, *(size + end for end in other.ends)]
    joined += [(ends[0], end) for end in ends[1:]]
    rows, columns = torch.tensor(joined).T.numpy()
    graph = coo_array(([True] * len(joined), (rows, columns)), shape=(size + width, size + width))
    label_N = torch.from_numpy(connected_components(graph, directed=False)[1]).long()
    kept_L = label_N[torch.tensor(joined)[:, 0]].unique()
    class_L = label_N.new_zeros(int(label_N.max()) + 1)
    class_L[kept_L] = torch.arange(1, len(kept_L) + 1)
    return Classes(class_L[label_N[:size]], class_L[label_N[size:]], len(kept_L) + 1)
