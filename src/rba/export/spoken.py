"""The speech of a run, read shard by shard: what there is, and the examples of a split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rba import document
from rba.data import shards
from rba.data.utterance import Utterance
from rba.errors import AudioError, DataError, WorkspaceError
from rba.export.example import Example, Pair, decode_pcm
from rba.progress import Progress
from rba.workspace import Workspace


class Spoken:
    """A run's finished speech; `lost` names the clips that could not be used, with the reason.

    Raises WorkspaceError for a folder that is no run's and DataError where the speech is missing or not finished.
    """

    def __init__(self, root: Path):
        if not root.is_dir():
            raise WorkspaceError("no such run folder", str(root), "give the folder that rba run wrote")
        folder = Workspace(root).stage("speech")
        if not folder.is_complete:
            state = "not finished" if folder.manifest else "missing"
            raise DataError(f"the run's speech is {state}", str(folder.path), "run `rba speak RECIPE` first")
        self.lost: dict[str, str] = {}
        config = root / "config.yaml"
        self.task: str = document.read(config).get("task", {}).get("prompt", "") if config.is_file() else ""
        self._shards = {path: _facts(path) for path in sorted(folder.path.glob("part-*.parquet"))}

    @property
    def responses(self) -> dict[str, str]:
        """The teacher's answer, by utterance."""
        return {key: response for facts in self._shards.values() for key, (_, response) in facts.items()}

    def count(self, pairs: Mapping[str, Sequence[Pair]] | None) -> Counter[str]:
        """The examples of every split: utterances, or their pairs."""
        counts: Counter[str] = Counter()
        for facts in self._shards.values():
            for key, (split, _) in facts.items():
                counts[split] += 1 if pairs is None else len(pairs.get(key, ()))
        return +counts

    def examples(self, split: str, pairs: Mapping[str, Sequence[Pair]] | None, bar: Progress) -> Iterator[Example]:
        """The examples of a split in the order of the run's shards, and of each utterance's pairs."""
        for path, facts in self._shards.items():
            if not any(s == split and (pairs is None or key in pairs) for key, (s, _) in facts.items()):
                continue
            for row in shards.read(path, Utterance):
                own = [None] if pairs is None else list(pairs.get(row.id, ()))
                if row.split != split or not own:
                    continue
                yield from self._made(row, own)
                bar.advance(len(own))

    def _made(self, row: Utterance, own: Sequence[Pair | None]) -> Iterator[Example]:
        try:
            pcm = decode_pcm(row)
        except AudioError as error:
            self.lost[row.id] = error.what
            return
        for number, pair in enumerate(own):
            yield Example(f"{row.id}-p{number}" if pair else row.id, row, pcm, pair, self.task)


def _facts(path: Path) -> dict[str, tuple[str, str]]:
    """Split and response of every utterance of a shard, without reading its audio."""
    try:
        rows = pq.read_table(path, columns=["id", "split", "response"]).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise DataError("shard is missing or damaged", str(path), "delete it and run `rba speak` again") from error
    return {row["id"]: (row["split"], row["response"]) for row in rows}
