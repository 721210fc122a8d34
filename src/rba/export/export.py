"""`rba export`: a run's speech, or its preference pairs, as a folder of another toolkit's format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rba.data.instruction import SPLITS
from rba.errors import DataError
from rba.export.example import Example, Pair, PairKind
from rba.export.folder import new_folder
from rba.export.registry import load_format
from rba.export.spoken import Spoken
from rba.progress import progress


@dataclass(frozen=True)
class Exported:
    """What was written: examples by split, and why clips were left out, by utterance id."""

    examples: dict[str, int] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)


def export(
    run: str | Path, to: str, out: str | Path, *, split: str | None = None, pairs: PairKind | None = None
) -> Exported:
    """Write the run folder `run` in the format `to` as the new folder `out`, whole or not at all.

    `split` keeps one split, else all that the run has are written; `pairs` asks for preference pairs of that kind
    (`rba.export.pairs.load_pairs`) instead of all utterances. The same run gives the same bytes.

    Raises RecipeError for an unknown format, DataError where the run has nothing of what is asked, and WorkspaceError
    for a folder `out` that is not empty or a disk that refuses.
    """
    write, root = load_format(to), Path(run)
    spoken = Spoken(root)
    found = _pairs(root, pairs, spoken) if pairs else None
    counts = spoken.count(found)
    wanted = [name for name in SPLITS if counts[name] and split in (None, name)]
    if not wanted:
        raise _nothing(root, split, pairs)
    written = dict.fromkeys(wanted, 0)
    with new_folder(Path(out)) as folder, progress("exporting", sum(counts[name] for name in wanted)) as bar:
        for name in wanted:

            def counted(name: str = name) -> Iterator[Example]:
                for example in spoken.examples(name, found, bar):
                    written[name] += 1
                    yield example

            write(folder, name, counted())
    return Exported(written, spoken.lost)


def _pairs(root: Path, kind: PairKind, spoken: Spoken) -> dict[str, list[Pair]]:
    # imports torch, which plain speech has no need of
    from rba.export.pairs import load_pairs

    return load_pairs(root, kind, spoken.responses)


def _nothing(root: Path, split: str | None, pairs: PairKind | None) -> DataError:
    where = f"{root}, split {split}" if split else str(root)
    if pairs:
        fix = "align with a method that keeps and ranks own answers, such as rba-group with refresh: once"
        return DataError("the run has no preference pairs", where, fix)
    return DataError("the run has no such utterances", where, "choose another split")
