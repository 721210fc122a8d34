"""Workers on a cluster: items are handed out, results come back in order, what a lost worker had is done again."""

from __future__ import annotations

import os
import pickle
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

import rba
from rba.cluster.connection import connected
from rba.cluster.settings import RaySettings, Workers
from rba.errors import ClusterError

Item = TypeVar("Item")
Result = TypeVar("Result")

LOSSES = 3
"""Workers that one item, or one start, may cost before it is taken for the cause."""

SLOW_START = 60.0
"""Seconds without any worker after which the user is told what is waited for."""


class Worker:
    """What runs on the cluster: one process that makes its work function once and calls it for every item."""

    def __init__(self, environment: dict[str, str], path: Sequence[str]):
        os.environ.update(environment)
        sys.path.extend(folder for folder in path if folder not in sys.path)  # a user's own engine is found here, too

    def begin(self, version: str, make: bytes) -> None:
        """Make the work function. Raises ClusterError where another version of rba is installed."""
        if rba.__version__ != version:
            fix = "install the same version on every node"
            raise ClusterError(f"a node has rba {rba.__version__}", f"this process has {version}", fix)
        from rba import runtime

        runtime.prepare()
        self._work = pickle.loads(make)()

    def work(self, item: Any) -> Any:
        """The work function's result."""
        return self._work(item)


def environment() -> dict[str, str]:
    """What makes a worker compute as this process does: sums may hang on the number of threads.

    That is `OMP_NUM_THREADS` where it is set, else torch's own choice for this machine.
    """
    threads = os.environ.get("OMP_NUM_THREADS")
    if not threads:
        import torch

        threads = str(torch.get_num_threads())
    return {"OMP_NUM_THREADS": threads}


@dataclass
class _Task:
    """An item with its place in the order, and how many workers it has cost."""

    index: int
    item: Any
    losses: int = 0


class Pool(Generic[Item, Result]):
    """Workers that each call `make()` once and then its result for items: a context in which the cluster is joined.

    There are `asked.count` of them, or as many as there is room for, at most `most`; each has up to `ahead` items under
    way. Those that have started are `ready`; one that is lost is replaced, and what it had is done again. `what` names
    the work in messages.
    """

    def __init__(
        self,
        what: str,
        make: Callable[[], Callable[[Item], Result]],
        settings: RaySettings,
        asked: Workers,
        most: int,
        ahead: int = 1,
    ):
        self.what, self.make, self.asked, self.most, self.ahead = what, make, asked, most, ahead
        self._joining: AbstractContextManager[Any] = connected(settings)
        self._flying: dict[Any, tuple[Any, _Task | None]] = {}  # by Ray's reference; a start has no task
        self.ready: list[Any] = []
        self._failed_starts = 0

    def __enter__(self) -> Pool[Item, Result]:
        """Join the cluster and ask for the workers. Raises ClusterError where there is no room for any."""
        self._ray = self._joining.__enter__()
        try:
            self.size = min(self.asked.count or self._room(), max(self.most, 1))
            for _ in range(self.size):
                self._hire()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *caught: Any) -> None:
        """Let the workers go."""
        for worker in {*self.ready, *(worker for worker, _ in self._flying.values())}:
            self._ray.kill(worker)
        self.ready, self._flying = [], {}
        self._joining.__exit__(*caught)

    def map(self, items: Iterable[Item]) -> Iterator[Result]:
        """The work function's results, in the order of the items; little more is under way than there are workers for.

        Raises what the work function raises, and ClusterError for an item that has cost too many workers.
        """
        source = (_Task(i, item) for i, item in enumerate(items))
        waiting: deque[_Task] = deque()
        done: dict[int, Result] = {}
        given = 0
        while True:
            under_way = sum(task is not None for _, task in self._flying.values())
            waiting.extend(islice(source, max(0, self.size * self.ahead - under_way - len(waiting) - len(done))))
            if not (waiting or under_way):
                return
            self._hand_out(waiting)
            self._settle(waiting, done)
            while given in done:
                yield done.pop(given)
                given += 1

    def _room(self) -> int:
        """How many workers the nodes that are there now can hold."""
        count = 0
        for node in self._ray.nodes():
            if node["Alive"]:
                has, needs = node["Resources"], {"CPU": self.asked.cpus, "GPU": self.asked.gpus}
                count += min(int(has.get(unit, 0) / need) for unit, need in needs.items() if need)
        if not count:
            key = f"ray.{self.what}"
            fix = f"ask for less, or set {key}.count if the cluster grows when it is asked to"
            raise ClusterError(f"no node of the cluster has {self.asked}", key, fix)
        return count

    def _hire(self) -> None:
        from ray import cloudpickle

        actor = self._ray.remote(Worker).options(num_cpus=self.asked.cpus, num_gpus=self.asked.gpus)
        worker = actor.remote(environment(), sys.path)
        self._flying[worker.begin.remote(rba.__version__, cloudpickle.dumps(self.make))] = (worker, None)

    def _hand_out(self, waiting: deque[_Task]) -> None:
        """Give waiting tasks to the workers that have least to do."""
        load = Counter(dict.fromkeys(self.ready, 0))
        load.update(worker for worker, task in self._flying.values() if task is not None)
        while waiting and load and (least := min(load, key=lambda worker: load[worker])) and load[least] < self.ahead:
            task = waiting.popleft()
            self._flying[least.work.remote(task.item)] = (least, task)
            load[least] += 1

    def _settle(self, waiting: deque[_Task], done: dict[int, Result]) -> None:
        """Wait until something ends, a worker's start, a task or a worker, and take note of it."""
        ended, _ = self._ray.wait(list(self._flying), timeout=None if self.ready else SLOW_START)
        if not ended:
            print(f"rba: {self.what} waits for workers with {self.asked} each", file=sys.stderr, flush=True)
            ended, _ = self._ray.wait(list(self._flying))
        worker = self._flying[ended[0]][0]
        if error := self._take(ended[0], done):
            self._replace(worker, waiting, done, error)
        elif worker not in self.ready:
            self.ready.append(worker)
            self._failed_starts = 0

    def _take(self, reference: Any, done: dict[int, Result]) -> Exception | None:
        """Keep what has ended under `reference`, or return how its worker was lost; raise what the work itself raised.

        What was lost stays under way.
        """
        try:
            result = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, rba.RbaError) else error from None
        except self._ray.exceptions.RayError as error:
            return error
        _, task = self._flying.pop(reference)
        if task is not None:
            done[task.index] = result
        return None

    def _replace(self, worker: Any, waiting: deque[_Task], done: dict[int, Result], error: Exception) -> None:
        """Ask for another worker in place of a lost one, and put back what it had, first what it was at."""
        self._ray.kill(worker)
        held = [reference for reference, (owner, _) in self._flying.items() if owner == worker]
        lost = [self._flying.pop(reference)[1] for reference in held if self._take(reference, done)]
        tasks = [task for task in lost if task is not None]
        for task in tasks[:1]:
            task.losses += 1
        self._failed_starts += not tasks
        waiting.extendleft(reversed(tasks))
        if max([self._failed_starts, *(task.losses for task in tasks)]) >= LOSSES:
            reason = " ".join(str(error).split())[:300]
            fix = "see Ray's logs for why; rba and what it uses must be installed on every node"
            raise ClusterError(f"{LOSSES} workers were lost at the same work: {reason}", self.what, fix) from error
        self.ready = [other for other in self.ready if other != worker]
        self._hire()
