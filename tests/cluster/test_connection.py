"""A cluster that cannot be worked on is one clear line, at once."""

from __future__ import annotations

import sys

import pytest

from rba.cli import main
from rba.cluster.connection import check, connected
from rba.cluster.pool import environment
from rba.cluster.settings import RaySettings, Workers
from rba.errors import ClusterError, RecipeError

NOWHERE = "127.0.0.1:1"


def test_without_ray_the_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"Ray is not installed \(executor: ray\); pip install 'rba\[ray\]'"):
        check(RaySettings())


@pytest.mark.parametrize("address", [NOWHERE, f"ray://{NOWHERE}", "127.0.0.1:many", "127.0.0.1:99999"])
def test_a_cluster_that_does_not_answer_is_named(address):
    with pytest.raises(ClusterError, match="cannot reach the Ray cluster") as caught:
        check(RaySettings(address=address))
    assert address in str(caught.value) and "\n" not in str(caught.value)


def test_the_address_comes_from_the_environment_unless_the_recipe_names_one(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", NOWHERE)
    with pytest.raises(ClusterError, match=NOWHERE):
        check(RaySettings())
    with pytest.raises(ClusterError, match=r"127\.0\.0\.1:2"):
        check(RaySettings(address="127.0.0.1:2"))


def test_what_ray_refuses_is_one_line_too(monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with (
        pytest.raises(ClusterError, match=r"cannot join the Ray cluster: .*nonsense"),
        connected(RaySettings("nonsense")),
    ):
        pass


@pytest.mark.parametrize("verb", ["run", "synthesize"])
def test_the_command_stops_with_exit_code_2_before_any_work(tmp_path, capfd, verb):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(f"executor: ray\nray: {{address: '{NOWHERE}'}}\nmodel: shipped\n")
    assert main([verb, str(recipe), f"output={tmp_path / 'run'}"]) == 2
    said = capfd.readouterr()
    assert said.err.count("\n") == 1 and said.err.startswith("rba: error: cannot reach the Ray cluster")
    assert not list((tmp_path / "run").glob("*/"))


@pytest.mark.parametrize("bad", [{"count": -1}, {"cpus": -1.0}, {"gpus": 2.0}, {"cpus": 0.0}])
def test_impossible_workers_are_refused(bad):
    with pytest.raises(RecipeError):
        Workers(**bad)


def test_a_worker_computes_with_as_many_threads_as_this_process(monkeypatch):
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert environment() == {"OMP_NUM_THREADS": "3"}
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert environment() == {"OMP_NUM_THREADS": str(torch.get_num_threads())}


def test_what_a_worker_is_given_is_said_in_words():
    assert str(Workers(cpus=4, gpus=0.5)) == "4 CPU and 0.5 GPU"
    assert str(Workers()) == "1 CPU"
