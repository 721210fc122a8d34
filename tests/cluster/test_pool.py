"""Workers on a real Ray cluster: order, losses, faults, and what there is no room for."""

from __future__ import annotations

import pytest

from cluster.examples import UNSPEAKABLE, Faulty, Mortal, Together
from rba.cluster.pool import Pool
from rba.cluster.settings import Workers
from rba.errors import AudioError, ClusterError

pytestmark = pytest.mark.slow


def pool(make, settings, most=2, ahead=2) -> Pool:
    return Pool("speech", make, settings, settings.speech, most, ahead)


def test_two_workers_share_the_work_and_results_keep_its_order(ray_cluster, tmp_path):
    with pool(Together(tmp_path, 2), ray_cluster) as workers:
        done = list(workers.map(range(12)))
        again = list(workers.map(range(12, 15)))
    assert [double for _, double in done + again] == [2 * n for n in range(15)]
    assert len({process for process, _ in done}) == 2
    assert {process for process, _ in again} <= {process for process, _ in done}


def test_what_a_killed_worker_had_is_done_again(ray_cluster, tmp_path):
    with pool(Mortal(tmp_path, last=5, times=2), ray_cluster) as workers:
        assert list(workers.map(range(12))) == [2 * n for n in range(12)]
    assert len(list(tmp_path.iterdir())) == 2


def test_an_item_that_kills_every_worker_ends_the_work_with_one_line(ray_cluster, tmp_path):
    with pool(Mortal(tmp_path, last=1, times=99), ray_cluster, ahead=1) as workers:
        results = workers.map(range(4))
        assert next(results) == 0
        with pytest.raises(ClusterError, match="3 workers were lost at the same work") as caught:
            list(results)
    assert "\n" not in str(caught.value)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("at_start", [True, False])
def test_a_users_fault_arrives_as_it_was_raised(ray_cluster, at_start):
    with pool(Faulty(UNSPEAKABLE, at_start), ray_cluster, most=1) as workers, pytest.raises(AudioError) as caught:
        list(workers.map([1]))
    assert str(caught.value) == str(UNSPEAKABLE)


def test_any_other_fault_arrives_with_its_name(ray_cluster):
    with pool(Faulty(ZeroDivisionError("by zero")), ray_cluster, most=1) as workers, pytest.raises(ZeroDivisionError):
        list(workers.map([1]))


def test_as_many_workers_as_there_is_room_for_and_work(ray_cluster):
    for asked, most, size in ((Workers(cpus=0.001), 1, 1), (Workers(count=5, cpus=0.001), 2, 2)):
        with Pool("speech", Faulty(UNSPEAKABLE), ray_cluster, asked, most) as workers:
            assert workers.size == size


def test_no_room_is_said_in_one_line(ray_cluster):
    asked = Workers(cpus=10_000)
    with (
        pytest.raises(ClusterError, match=r"no node of the cluster has 10000 CPU \(ray\.speech\)"),
        Pool("speech", Faulty(UNSPEAKABLE), ray_cluster, asked, most=1),
    ):
        pass
