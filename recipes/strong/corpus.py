"""Joins what several runs' teachers wrote and answered: every request once, with its answer, as gzipped JSON lines.

    S='recipes/evidence-strong.yaml synthesis.shard_size=480'
    for seed in 0 1 2 3 4; do
      rba synthesize $S seed=$seed output=runs/strong-$seed synthesis.train=624 synthesis.batch=480
    done
    rba synthesize $S seed=5 output=runs/strong-5 synthesis.train=240 synthesis.test=40
    python recipes/strong/corpus.py runs/strong-* --out recipes/strong/corpus.jsonl.gz

The first five took 45 seconds each, all at once on one H200, the last seven minutes on one CPU core. It takes the
instructions and those that were only left over when the splits were full.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from rba.data import shards
from rba.synthesis.candidate import Candidate
from rba.synthesis.duplicates import normalised
from rba.synthesis.split import NEAR_FULL, NEAR_TWO, SURPLUS

USABLE = frozenset({"", SURPLUS, NEAR_FULL, NEAR_TWO})
"""Fates of a request that say nothing against it or its answer."""


def usable(runs: Sequence[Path]) -> Iterator[Candidate]:
    """The requests worth keeping, run by run in the order of drawing; the first of several with the same words."""
    seen = set[str]()
    for run in runs:
        for place in sorted(run.glob("synthesis/rounds/round-*.parquet")):
            for candidate in shards.read(place, Candidate):
                words = normalised(candidate.text)
                if candidate.reason in USABLE and words not in seen:
                    seen.add(words)
                    yield candidate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="run folders whose synthesis is finished")
    parser.add_argument("--out", type=Path, required=True, help="the file to write, .jsonl.gz")
    options = parser.parse_args()
    rows = [json.dumps({"text": c.text, "response": c.response}, ensure_ascii=False) for c in usable(options.runs)]
    options.out.write_bytes(gzip.compress(("\n".join(rows) + "\n").encode(), mtime=0))
    print(f"{options.out}: {len(rows)} requests with answers")


if __name__ == "__main__":
    main()
