"""A local teacher on a cluster: every worker holds it, and the batches of a call are shared out among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from rba.cluster.pool import Pool
from rba.cluster.settings import RaySettings
from rba.lm import chat
from rba.lm.load import load_tokenizer
from rba.lm.preamble import System
from rba.lm.sampling import Sampling
from rba.teachers.batches import Batches
from rba.teachers.load import load_teacher
from rba.teachers.teacher import Reply, Teacher


@dataclass(frozen=True)
class Call:
    """A call of one of a teacher's methods under a turn: one batch of work."""

    system: System
    method: str
    arguments: tuple[Any, ...]


class SpreadTeacher(Teacher):
    """The teacher `name` in the workers of a pool. The batches are those of `LocalTeacher`, and so is what is written.

    `pool` calls `Held` on each `Call`.
    """

    def __init__(self, name: str, batches: Batches, pool: Pool[Call, list[Any]]):
        self.name, self.system, self.batches, self.pool = name, batches.system, batches, pool

    def told(self, system: System) -> SpreadTeacher:
        """The same workers, asked under another turn."""
        return SpreadTeacher(self.name, replace(self.batches, system=system), self.pool)

    def sample_queries(
        self, seeds: Sequence[int], system: System, sampling: Sampling, openers: Sequence[str] | None = None
    ) -> list[Reply]:
        """One request per seed, as `LocalTeacher` writes it."""
        first = openers or [""] * len(seeds)

        def call(chosen: list[int]) -> Call:
            return Call(self.system, "sample_queries", (_of(seeds, chosen), system, sampling, _of(first, chosen)))

        return self._shared(call, self.batches.queries(seeds, openers))

    def replies(self, texts: Sequence[str], sampling: Sampling, seeds: Sequence[int]) -> list[Reply]:
        """One answer per request, as `LocalTeacher` gives it."""

        def call(chosen: list[int]) -> Call:
            return Call(self.system, "replies", (_of(texts, chosen), sampling, _of(seeds, chosen)))

        return self._shared(call, self.batches.replies(texts, seeds))

    def log_likelihood(self, texts: Sequence[str], responses: Sequence[str]) -> list[tuple[float, int]]:
        """Summed log-prob and tokens of each response, as `LocalTeacher` scores it."""

        def call(chosen: list[int]) -> Call:
            return Call(self.system, "log_likelihood", (_of(texts, chosen), _of(responses, chosen)))

        answers = self.batches.answers(responses, chat.taught_end(chat.end_ids(self.batches.tokenizer), self.name))
        return self._shared(call, self.batches.scores(self.batches.prompts(texts), answers))

    def _shared(self, call: Callable[[list[int]], Call], batches: list[list[int]]) -> list[Any]:
        """Every batch's results, each put back in the place of its item."""
        results: dict[int, Any] = {}
        for chosen, done in zip(batches, self.pool.map(map(call, batches)), strict=True):
            results.update(zip(chosen, done, strict=True))
        return [results[i] for i in range(len(results))]


@dataclass(frozen=True)
class Held:
    """A worker's teacher, which takes calls."""

    teacher: Teacher

    def __call__(self, call: Call) -> list[Any]:
        """What the teacher's method returns."""
        return getattr(self.teacher.told(call.system), call.method)(*call.arguments)


def hold(name: str, batch_size: int) -> Held:
    """Load the teacher in a worker."""
    return Held(load_teacher(name, batch_size))


@contextmanager
def spread(name: str, batch_size: int, system: System, cluster: RaySettings, most: int) -> Iterator[SpreadTeacher]:
    """The local teacher `name` in at most `most` workers of a cluster, for the block.

    Raises ModelError if it cannot be loaded, here or there, and ClusterError for a cluster that does not do its part.
    """
    batches = Batches(load_tokenizer(name), system, batch_size)
    make = partial(hold, name, batch_size)
    with Pool[Call, list[Any]]("synthesis", make, cluster, cluster.synthesis, most) as pool:
        yield SpreadTeacher(name, batches, pool)


def _of(values: Sequence[Any], chosen: list[int]) -> list[Any]:
    return [values[i] for i in chosen]
