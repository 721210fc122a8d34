"""Speech on a cluster of several nodes, one of which goes away: `python -m cluster.nodes FOLDER` prints its hash.

A process of its own, since it joins another cluster than the tests around it.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from threading import Thread
from unittest.mock import patch

from speech.examples import Beeper, instructions

from rba.cluster.settings import RaySettings, Workers
from rba.speech import stage
from rba.speech.settings import SpeechSettings
from rba.workspace import StageFolder

ITEMS = instructions(*(f"Say the number {number}." for number in range(10, 60)))
WAITS = "number 2"  # ten of them, with more to come than a worker has before it
SETTINGS = SpeechSettings(engine="cluster.nodes:Placed", voices=2, acoustics="clean", workers=1, shard_size=2)
MARKS = "RBA_TEST_NODES"
LAST = 120.0


class Placed(Beeper):
    """Beeps, and leaves a mark of the node that it is on, if it is on one; with some it waits for a third node."""

    def say(self, text, speaker, seed):
        """Beeps at the speaker's pitch."""
        if folder := os.environ.get(MARKS):
            import ray

            (Path(folder) / ray.get_runtime_context().get_node_id()).touch()
            _wait_for(3 if WAITS in text else 2, Path(folder))
        return super().say(text, speaker, seed)


def _wait_for(count: int, marks: Path) -> list[Path]:
    """The marks, once there are so many."""
    end = time.monotonic() + LAST
    while len(found := list(marks.iterdir())) < count and time.monotonic() < end:
        time.sleep(0.05)
    return found


def spoken(path: Path, cluster: RaySettings | None) -> str:
    """The stage's hash."""
    folder = StageFolder(path)
    folder.open("mark")
    stage.run(SETTINGS, folder=folder, seed=0, instructions=ITEMS, cluster=cluster)
    return folder.output_hash()


def main(place: Path) -> None:
    """Three nodes with room for a worker each, for two workers; one that has a worker is taken away."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from ray.cluster_utils import Cluster

    marks = place / "marks"
    marks.mkdir()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = {node.node_id: node for node in (cluster.add_node(num_cpus=1) for _ in range(3))}
    cluster.wait_for_nodes()

    def disturb() -> None:
        gone = _wait_for(2, marks)[0]
        cluster.remove_node(nodes[gone.name], allow_graceful=False)

    disturber = Thread(target=disturb)
    disturber.start()
    with patch("rba.cluster.pool.environment", lambda: {"OMP_NUM_THREADS": "1", MARKS: str(marks)}):
        settings = RaySettings(address=cluster.address, speech=Workers(count=2, cpus=1))
        print(spoken(place / "cluster", settings))
    disturber.join()
    if ray.is_initialized():
        ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
