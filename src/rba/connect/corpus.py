"""Text to train a connector on: what the LM itself makes up, and templates with names, numbers and plain words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from rba.connect.lexicon import lines
from rba.connect.slots import Slots
from rba.data.seeds import derive, rng
from rba.errors import ModelError
from rba.lm import chat
from rba.lm.generation import generate
from rba.lm.load import TextLM
from rba.lm.sampling import Sampling
from rba.progress import Progress

LEAD_INS = (
    "Hey,", "Okay,", "So,", "Well,", "Please,", "Hi there,", "Excuse me,", "One more thing:", "Quick question:",
    "Sorry,", "Right,", "And", "But", "Thanks,", "Hello,", "Now,", "Oh,", "Yes,", "No,", "Actually,",
)  # fmt: skip
TEMPERATURES = (0.8, 0.9, 1.0)
TOP_P = 0.95
QUERY_TOKENS, ANSWER_TOKENS = 40, 60
ROUND, PER_OPENER, BATCH = 96, 8, 96
HOPELESS_AFTER = 4
WORD_SHARE = 0.6
WORDS_SPOKEN = (3, 30)
WORDS_ANSWER = (4, 25)

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')]*\s+(?=[\"'(]?[A-Z0-9])")
_ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|vs|etc|No|[A-Z])\.$")
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")
_SPEAKABLE = re.compile(r"[A-Za-z0-9 ,.;:!?'\"’“”$£€%&–-]+")
_ODD = re.compile(
    r"\b(?:https?|www|\.com|html|def|printf|import)\b|[A-Za-z]\d|\d[A-Za-z]{3}|[a-z][A-Z]|\w{19}|(.)\1{3}"
)


def sentences(text: str) -> list[str]:
    """The finished sentences of an answer, list bullets taken off; a last one without an end mark is left out."""
    found: list[str] = []
    for line in text.splitlines():
        pieces: list[str] = []
        for piece in _SENTENCE_END.split(_BULLET.sub("", line).strip()):
            if pieces and _ABBREVIATION.search(pieces[-1]):
                pieces[-1] += " " + piece
            else:
                pieces.append(piece)
        found += [p for p in pieces if p.rstrip("\"')").endswith((".", "!", "?"))]
    return found


def speakable(text: str, least: int, most: int) -> bool:
    """Whether a sentence can be spoken as it stands: `least` to `most` words, plain characters, no code, no loops."""
    tokens = text.split()
    if not least <= len(tokens) <= most or not _SPEAKABLE.fullmatch(text) or _ODD.search(text):
        return False
    distinct = len({t.lower().strip(",.;:!?'\"") for t in tokens})
    return distinct > 0.6 * len(tokens) and text.count('"') % 2 == 0


def opening(text: str) -> str:
    """The first sentence of a request, with the second where the first is short; "" if none is finished."""
    found = sentences(text)
    if not found:
        return ""
    return " ".join(found[:2]) if len(found[0].split()) < 9 else found[0]


def templated(n: int, seed: int, vocabulary: Sequence[str] = (), rare: Sequence[str] = ()) -> Iterator[dict[str, str]]:
    """`n` distinct filled templates as {"text", "source": "template"}; the i-th draw depends on (seed, i) alone.

    With a `vocabulary` (see `lexicon.pronounced_words`) six in ten come from templates of random words, of which one in
    four is `rare`.
    """
    slots, seen, index = Slots(vocabulary, rare), set[str](), 0
    while len(seen) < n:
        text = _filled(slots, rng(seed, "templated", index))
        index += 1
        if text.lower() not in seen and _SPEAKABLE.fullmatch(text) and len(text.split()) <= WORDS_SPOKEN[1]:
            seen.add(text.lower())
            yield {"text": text, "source": "template"}


def _filled(slots: Slots, g: np.random.Generator) -> str:
    pool = lines("word_templates" if slots.vocabulary and g.random() < WORD_SHARE else "templates")
    template = pool[int(g.integers(len(pool)))]
    text = slots.fill(template, g)
    if g.random() < 0.12:
        lead = LEAD_INS[int(g.integers(len(LEAD_INS)))]
        keep = template.startswith(("{", "I ", "I'"))
        return f"{lead} {text if keep else text[0].lower() + text[1:]}"
    return text[0].upper() + text[1:]


def self_synthesised(lm: TextLM, n: int, seed: int, bar: Progress | None = None) -> Iterator[dict[str, str]]:
    """`n` distinct texts that the LM made up: requests from its pre-query template and sentences of its own answers.

    Yields {"text", "source": "query" | "opener" | "answer"}. Every second round of requests starts with seeded first
    words. Rounds are pure functions of (seed, index); only the exact-duplicate check looks back. Raises ModelError for
    an LM whose texts are of no use.
    """
    seen: set[str] = set()
    index = 0
    while len(seen) < n:
        if index == HOPELESS_AFTER and not seen:
            raise ModelError("the language model writes nothing that can be spoken", lm.name, "choose a chat model")
        for row in _round(lm, seed, index):
            key = re.sub(r"[^a-z0-9 ]", "", row["text"].lower())
            if key not in seen and len(seen) < n:
                seen.add(key)
                if bar:
                    bar.advance(1)
                yield row
        index += 1


def _round(lm: TextLM, seed: int, index: int) -> list[dict[str, str]]:
    """One round: `ROUND` requests at one temperature, then answers to those that can be spoken."""
    source = "opener" if index % 2 else "query"
    sampling = Sampling(TEMPERATURES[index % len(TEMPERATURES)], TOP_P, QUERY_TOKENS)
    asked = _requests(lm, source, sampling, seed, index)
    asked = list(dict.fromkeys(t for t in map(opening, asked) if speakable(t, *WORDS_SPOKEN)))
    rows = [{"text": text, "source": source} for text in asked]
    prompts = [chat.prompt_ids(lm.tokenizer, text) for text in asked]
    seeds = [derive(seed, "answer", index, text) for text in asked]
    replies = generate(lm, prompts, Sampling(TEMPERATURES[0], TOP_P, ANSWER_TOKENS), seeds, batch_size=BATCH)
    for reply in replies:
        said = [s for s in sentences(reply[0].text) if speakable(s, *WORDS_ANSWER)]
        rows += [{"text": text, "source": "answer"} for text in said]
    return rows


def _requests(lm: TextLM, source: str, sampling: Sampling, seed: int, index: int) -> list[str]:
    """Raw requests of one round; with openers each first words are continued `PER_OPENER` times from one prefill."""
    header = chat.prequery_ids(lm.tokenizer)
    seeds = [derive(seed, source, index, i) for i in range(ROUND)]
    if source == "query":
        return [c.text for c in generate(lm, [header], sampling, seeds, ROUND, BATCH)[0]]
    pool = lines("openers")
    picks = rng(seed, "openers", index).choice(len(pool), ROUND // PER_OPENER, replace=False)
    prompts = [header + chat.text_ids(lm.tokenizer, pool[i]) for i in picks]
    groups = generate(lm, prompts, sampling, seeds, PER_OPENER, BATCH)
    return [f"{pool[i]}{_joint(c.text)}" for i, group in zip(picks, groups) for c in group]


def _joint(text: str) -> str:
    """A continuation put behind its opener: decoding strips the space that its first token began with."""
    return text if text.startswith(("'", ",", ".", "?", "!")) else f" {text}"
