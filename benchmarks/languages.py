"""Which languages a teacher can really translate into: BLEU and chrF of its translations of pairs of sentences.

python benchmarks/languages.py qwen2.5-coder-1.5b-instruct PAIRS/eng-spa.jsonl PAIRS/eng-fra.jsonl --items 100

A file of pairs is named by its languages and has a column for each, as `format: pairs` of `evaluate.benchmarks`. The
teacher is told "Translate into <language>: <sentence>", greedily, as `recipes/translate.yaml` tells it without its
examples. Intervals are sacrebleu's bootstrap over sentences.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from rba.lm.preamble import Preamble
from rba.lm.sampling import Sampling
from rba.lm.task import word_cut
from rba.teachers.load import load_teacher
from rba.teachers.teacher import Teacher

NAMES = {"cmn": "Chinese", "deu": "German", "fra": "French", "spa": "Spanish", "ita": "Italian", "por": "Portuguese"}
SYSTEM = "You are a translator. You write the translation and nothing else."
RESAMPLES = 1000


def pairs(place: Path, items: int) -> tuple[str, list[tuple[str, str]]]:
    """The language that a file of pairs leads into, and its first sentences with their translations."""
    source, language = place.stem.split("-")
    rows = [json.loads(line) for line in place.read_text(encoding="utf-8").splitlines()[:items]]
    return language, [(row[source], row[language]) for row in rows]


def translations(teacher: Teacher, language: str, sentences: Sequence[str], tokens: int) -> list[str]:
    """What the teacher makes of the sentences."""
    told = teacher.told(Preamble(SYSTEM, before=f"Translate into {NAMES.get(language, language)}: "))
    replies = told.replies(sentences, Sampling(temperature=0.0, max_new_tokens=tokens), range(len(sentences)))
    return [reply.text for reply in replies]


def main() -> None:
    """Print a line for each file of pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", help="a registry name, a local folder, a hub id or a server")
    parser.add_argument("pairs", nargs="+", type=Path, help="files of pairs, such as eng-spa.jsonl")
    parser.add_argument("--items", type=int, default=100, help="sentences of each")
    parser.add_argument("--tokens", type=int, default=64, help="the longest translation")
    asked = parser.parse_args()
    teacher = load_teacher(asked.teacher)
    for place in asked.pairs:
        language, found = pairs(place, asked.items)
        made = translations(teacher, language, [sentence for sentence, _ in found], asked.tokens)
        for metric in (BLEU(tokenize=word_cut(language)), CHRF()):
            score = metric.corpus_score(made, [[wanted for _, wanted in found]], n_bootstrap=RESAMPLES)
            low, high = score._mean - score._ci, score._mean + score._ci
            signature = metric.get_signature()
            print(f"{language} {score.name} {score.score:.1f} [{low:.1f}, {high:.1f}] n={len(found)} {signature}")


if __name__ == "__main__":
    main()
