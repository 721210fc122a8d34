"""Texts made of the words that the other texts of this folder leave out, most frequent words first.

    python recipes/connector/words.py OUT.jsonl.gz [--texts 8000] [--enough 20]

A connector hears a word well once its token stood in some sixteen texts. Of the LLM's tokens that are whole words, in
the order of the tokenizer's merges (the frequent ones come first), each is used until it was seen that often. A text
strings some of them together with small words and holds one longer word, which the tokenizer spells with pieces. They
mean nothing: what is learnt from them is how words sound, not which word follows which.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections import Counter, deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from rba.connect.lexicon import inflected, lexicon
from rba.data import seeds

HERE = Path(__file__).parent
OPENERS = (
    "The", "My", "What about", "Is the", "Please write down", "Tell me about", "I said", "How does", "Can you", "Some",
    "Compare", "They", "Why is", "We have", "Explain the", "A list of", "No", "It was", "Describe", "He will",
)  # fmt: skip
JOINTS = (
    *[" "] * 14, " and ", ", ", " of the ", " or ", " with ", " in a ", " for my ", " to ", " is ", " from ",
)  # fmt: skip
LONGEST = 9  # words drawn for a text


def seen(folder: Path, tokenizer: Any) -> Counter[int]:
    """How often the requests and templated texts of a folder hold each token."""
    counts: Counter[int] = Counter()
    for path in sorted([*folder.glob("requests-*.jsonl.gz"), *folder.glob("templated*.jsonl.gz")]):
        rows = [json.loads(line)["text"] for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
        for ids in tokenizer(rows, add_special_tokens=False)["input_ids"]:
            counts.update(ids)
    return counts


def lacking(tokenizer: Any, counts: Counter[int], enough: int) -> list[tuple[str, int]]:
    """Words that are one token, and how many uses each still lacks; frequent words first."""
    known = lexicon()
    found = []
    for index, piece in enumerate(tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))):
        word = piece[1:]
        whole = piece[0] in "Ġ▁" and len(word) >= 3 and word.isalpha() and word.isascii()
        cased = word.islower() or (word.istitle() and word.lower() not in known)
        if whole and cased and counts[index] < enough and (word in known or inflected(word, known)):
            found.append((word, enough - counts[index]))
    return found


def rounds(words: Iterable[tuple[str, int]], slots: int, rng: np.random.Generator) -> list[str]:
    """At most `slots` uses, the first words first, in an order that spreads the uses of each word."""
    chosen: list[str] = []
    for word, uses in words:
        chosen += [word] * min(uses, slots - len(chosen))
    return [chosen[i] for i in rng.permutation(len(chosen))]


def sentence(words: list[str], rng: np.random.Generator) -> str:
    """The words strung together behind an opener."""
    text = OPENERS[int(rng.integers(len(OPENERS)))] + " " + words[0]
    for word in words[1:]:
        text += JOINTS[int(rng.integers(len(JOINTS)))] + word
    return text + (".", ".", "?")[int(rng.integers(3))]


def main() -> None:
    """Write the texts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--texts", type=int, default=8000)
    parser.add_argument("--enough", type=int, default=20)
    options = parser.parse_args()
    from transformers import AutoTokenizer

    from rba.connect.lexicon import pronounced_words
    from rba.weights.resolve import resolve

    tokenizer: Any = AutoTokenizer.from_pretrained(resolve("smollm2-135m-instruct"))
    rng = seeds.rng("words")
    words = lacking(tokenizer, seen(HERE, tokenizer), options.enough)
    uses = deque(rounds(words, options.texts * (LONGEST - 2), rng))
    _, longer = pronounced_words(tokenizer)
    longer = [word for word in longer if len(tokenizer(" " + word)["input_ids"]) == 2]
    lines: list[str] = []
    while uses and len(lines) < options.texts:
        own = [uses.popleft() for _ in range(min(len(uses), int(rng.integers(LONGEST - 4, LONGEST + 1))))]
        own.insert(int(rng.integers(len(own))), longer[int(rng.integers(len(longer)))])
        lines.append(json.dumps({"text": sentence(own, rng), "source": "words"}))
    options.out.write_bytes(gzip.compress("".join(line + "\n" for line in lines).encode(), mtime=0))
    print(f"{len(lines)} texts, {len(words)} words lack uses, {sum(n for _, n in words)} uses lacking")


if __name__ == "__main__":
    main()
