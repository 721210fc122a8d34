"""Sentences that hold the words which self-synthesis leaves out: WordNet's examples and definitions.

    python recipes/connector/wordnet.py WORDNET_FOLDER OUT.jsonl.gz [--texts 24000]

WORDNET_FOLDER holds WordNet 3.0's `data.noun`, `data.verb`, `data.adj` and `data.adv` (Debian: the package
wordnet-base, in /usr/share/wordnet). Texts are chosen one by one, each time the one that adds most to words that the
other files of this folder hold seldom. Its licence: recipes/connector/WORDNET-LICENSE.
"""

from __future__ import annotations

import argparse
import gzip
import heapq
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rba.connect.corpus import speakable
from rba.connect.lexicon import article, pronounced_words

HERE = Path(__file__).parent
WORDS = (4, 18)
ENOUGH = 24  # a word that the texts hold this often is no reason to take another one
RARE_WEIGHT = 0.2  # of a word that is more than one token of the LLM
LEFT_OUT = {"05", "20"}  # definitions of animals and plants: a fifth of all, and not what people talk about
FRAMES = {
    "noun": ("{a} is {gloss}.", "What do you call {gloss}?", "Is {a} {gloss}?", "{name} means {gloss}."),
    "verb": ("To {name} is to {gloss}.", "How do you {name}? You {gloss}.", "Can you {name} or {gloss}?"),
    "adj": (
        "Something {name} is {gloss}.",
        "What is {name}? It is {gloss}.",
        "Is it {name} or {gloss}?",
    ),
    "adv": ("If you do it {name}, you do it {gloss}.", "He said it {name}, that is {gloss}."),
}


def synsets(folder: Path, part: str) -> Iterator[tuple[list[str], str, list[str]]]:
    """Names, definition and examples of every synset in a data file."""
    for line in (folder / f"data.{part}").read_text(encoding="latin-1").splitlines():
        if line.startswith(" "):
            continue
        head, _, gloss = line.partition(" | ")
        fields = head.split()
        if fields[1] in LEFT_OUT:
            continue
        names = [re.sub(r"\(.*\)", "", fields[4 + 2 * i]).replace("_", " ") for i in range(int(fields[3], 16))]
        examples = re.findall(r'"([^"]+)"', gloss)
        definition = re.sub(r"\([^)]*\)", "", gloss.split('"')[0]).split(";")[0].strip(" ;:,.")
        yield names, re.sub(r"\s+", " ", definition), examples


def texts(folder: Path) -> list[str]:
    """All sentences that can be spoken, capitalised and ended, without repeats."""
    found: dict[str, None] = {}
    for part, frames in FRAMES.items():
        for names, definition, examples in synsets(folder, part):
            said = [*examples]
            for i, name in enumerate(names[:2]):
                frame = frames[(len(found) + i) % len(frames)]
                said.append(frame.format(a=article(name), name=name, gloss=definition))
            for text in said:
                text = text.strip(" ;,")
                text = text[:1].upper() + text[1:]
                text = text if text.endswith((".", "?", "!")) else text + "."
                if speakable(text, *WORDS):
                    found[text] = None
    return list(found)


def words(text: str) -> set[str]:
    """The lower-case words of a text."""
    return set(re.findall(r"[a-z]+", text.lower()))


def choose(pool: list[str], counts: Counter[str], weight: dict[str, float], n: int) -> list[str]:
    """`n` texts, greedily: the worth of a text is what its words still lack, by its length."""

    def worth(text: str) -> float:
        lacking = (weight.get(w, 0.0) * max(0.0, 1 - counts[w] / ENOUGH) for w in words(text))
        return sum(lacking) / len(text.split()) ** 0.8

    heap = [(-worth(text), i) for i, text in enumerate(pool)]
    heapq.heapify(heap)
    chosen: list[str] = []
    while heap and len(chosen) < n:
        claimed, i = heapq.heappop(heap)
        now = worth(pool[i])
        if heap and now < -heap[0][0] and now < -claimed:  # its words were given meanwhile
            heapq.heappush(heap, (-now, i))
            continue
        chosen.append(pool[i])
        counts.update(words(pool[i]))
    return chosen


def held(folder: Path) -> Counter[str]:
    """How often the requests and answers of this folder hold each word."""
    counts: Counter[str] = Counter()
    for path in sorted(folder.glob("requests-*.jsonl.gz")):
        for line in gzip.decompress(path.read_bytes()).decode().splitlines():
            counts.update(words(json.loads(line)["text"]))
    return counts


def main() -> None:
    """Write the chosen texts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wordnet", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--texts", type=int, default=24_000)
    options = parser.parse_args()
    from transformers import AutoTokenizer

    from rba.weights.resolve import resolve

    tokenizer: Any = AutoTokenizer.from_pretrained(resolve("smollm2-135m-instruct"))
    single, rare = pronounced_words(tokenizer)
    weight = dict.fromkeys(rare, RARE_WEIGHT) | dict.fromkeys(single, 1.0)
    chosen = choose(texts(options.wordnet), held(HERE), weight, options.texts)
    lines = "".join(json.dumps({"text": text, "source": "wordnet"}) + "\n" for text in chosen)
    options.out.write_bytes(gzip.compress(lines.encode(), mtime=0))


if __name__ == "__main__":
    main()
