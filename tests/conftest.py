"""What all tests share: quiet threads, no model hub, weights by name, a run folder and a run of fakes.

They run on the CPU, where equal means equal to the last bit, whatever the machine has; with RBA_TEST_GPU=1 on its GPU.
"""

from __future__ import annotations

import os

from rba import runtime

# before any test imports torch
runtime.prepare()
for variable, value in {
    "OMP_NUM_THREADS": "1",  # one core for each worker, which starts with what is set here before it
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
}.items():
    os.environ.setdefault(variable, value)
if not os.environ.get("RBA_TEST_GPU"):
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

import gc  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

import pytest  # noqa: E402

from rba.cluster.connection import connected  # noqa: E402
from rba.cluster.settings import RaySettings, Workers  # noqa: E402
from rba.recipe import Recipe, load_recipe  # noqa: E402
from rba.weights.resolve import resolve  # noqa: E402
from rba.workspace import Workspace  # noqa: E402

if TYPE_CHECKING:
    from services.vllm import Vllm

LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def pytest_configure() -> None:
    """End where the GPU was asked for and there is none: all would pass without having been on it."""
    if os.environ.get("RBA_TEST_GPU"):
        import torch

        if not torch.cuda.is_available():
            pytest.exit("RBA_TEST_GPU is set, but torch sees no GPU here", returncode=2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: one that began last would keep one worker long after the other is done."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """Take what is loaded by now out of what the garbage collector looks through, and so again after every file.

    The stages collect garbage where they let a model go. Among the millions of objects of torch, transformers and of
    thousands of collected tests that takes longer than most of the tests.
    """
    gc.collect()
    gc.freeze()


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """After the last test of a file: what it has loaded stays."""
    if nextitem is not None and nextitem.path != item.path:
        pytest_collection_finish()


@pytest.fixture(scope="session")
def weights() -> Callable[[str], str]:
    """`weights(name)`: the folder of a registry model, fetched once into the cache."""
    return resolve


@pytest.fixture(scope="session")
def smollm_server(weights: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vllm]:
    """A real vLLM around SmolLM2 in float32 that takes prompts as embeddings, and adapters."""
    from services.vllm import vllm

    options = ["--dtype", "float32", "--max-model-len", "512", "--enable-prompt-embeds"]
    options += ["--enable-lora", "--max-lora-rank", "16", "--lora-target-modules", *LORA_TARGETS]
    folder, log = weights("smollm2-135m-instruct"), tmp_path_factory.mktemp("vllm") / "log"
    with vllm(folder, "policy", log, *options) as server:
        yield server


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[RaySettings]:
    """Ray on this machine, or the cluster of RAY_ADDRESS, two workers a stage; joined once for all tests."""
    two = Workers(count=2, cpus=0.5)
    settings = RaySettings(synthesis=two, speech=two)
    with connected(settings):
        yield settings


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Recipe]]:
    """`mine("align.lr=1", ...)`: a recipe with two methods whose run folder is `tmp_path/run`; the stages are fakes."""
    import fakes

    saved = dict(sys.modules)
    fakes.install()
    monkeypatch.setattr(fakes, "DONE", [])
    (tmp_path / "mine.yaml").write_text(f"output: {tmp_path}/run\nalign: {{methods: [sft, rba-group]}}\n")
    yield lambda *overrides: load_recipe(tmp_path / "mine.yaml", overrides)
    for name in set(sys.modules) - set(saved):
        if isinstance(sys.modules[name], fakes.FakeModule):
            del sys.modules[name]
    sys.modules.update(saved)


@pytest.fixture
def tmp_workspace(tmp_path: Path) -> Workspace:
    """An empty run folder."""
    return Workspace(tmp_path / "run")
