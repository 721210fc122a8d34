"""vLLM's own server, for as long as a block runs; `RBA_TEST_VLLM=COMMAND` names it, in an environment of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

STARTS_WITHIN = 300  # seconds
NAMED = pytest.mark.skipif("RBA_TEST_VLLM" not in os.environ, reason="RBA_TEST_VLLM names no vLLM")
"""The mark of tests that need one."""


@dataclass(frozen=True)
class Vllm:
    """A server that answers at `url`, which ends in /v1, for the model `name`."""

    url: str
    name: str
    process: subprocess.Popen[bytes]

    def named(self, options: str = "") -> str:
        """Its name in a recipe, with these further options ("&key=value")."""
        return f"openai:{self.url}?retries=1{options}#{self.name}"

    def kill(self) -> None:
        """End it in the middle of whatever it does, with the processes that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def vllm(folder: str, name: str, log: Path, *options: str) -> Iterator[Vllm]:
    """vLLM around the model in `folder`, once it answers; what it says goes to the file `log`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [os.environ["RBA_TEST_VLLM"], "serve", folder, "--served-model-name", name, "--enforce-eager"]
    command += ["--host", "127.0.0.1", "--port", str(port), *options]
    env = {**os.environ, "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True", "VLLM_CPU_KVCACHE_SPACE": "1"}
    with log.open("w") as said:
        # a session of its own: its engine is a process of its own, and outlives a server that is killed
        running = subprocess.Popen(command, env=env, stdout=said, stderr=said, start_new_session=True)
    server = Vllm(f"http://127.0.0.1:{port}/v1", name, running)
    try:
        _wait(f"http://127.0.0.1:{port}/health", running, log)
        yield server
    finally:
        running.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(20)
        server.kill()


def _wait(url: str, running: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < end:
        assert running.poll() is None, log.read_text()[-3000:]
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(1)
    raise AssertionError(f"no answer in {STARTS_WITHIN} s: {log.read_text()[-3000:]}")
