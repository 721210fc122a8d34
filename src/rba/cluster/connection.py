"""Joining a Ray cluster, with one clear line where there is none."""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
from collections.abc import Iterator
from typing import Any

from rba.cluster.settings import RaySettings
from rba.errors import ClusterError

PATIENCE = 10.0
"""Seconds in which the head of a cluster must take a connection; Ray itself goes on trying for minutes."""


def address_of(settings: RaySettings) -> str:
    """Where the cluster is looked for: the recipe's address, else that of the environment; "" for this machine."""
    return settings.address or os.environ.get("RAY_ADDRESS", "")


def load_ray() -> Any:
    """Ray, imported. Raises ClusterError where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster that is started here reports to nobody
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        fix = "pip install 'rba[ray]', or leave out executor: ray"
        raise ClusterError("Ray is not installed", "executor: ray", fix) from error


def check(settings: RaySettings) -> None:
    """Raise ClusterError at once where the cluster cannot be worked on: no Ray, or nobody at its address."""
    load_ray()
    _check_reachable(address_of(settings))


@contextlib.contextmanager
def connected(settings: RaySettings) -> Iterator[Any]:
    """Ray, joined to the cluster inside the block. A connection that is there already is used, and stays.

    Raises ClusterError where Ray is missing or the cluster cannot be joined.
    """
    ray, address = load_ray(), address_of(settings)
    if ray.is_initialized():
        yield ray
        return
    _check_reachable(address)
    started = {} if address not in ("", "local") else {"include_dashboard": False}
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **started)
    except Exception as error:  # Ray raises whatever its parts raise
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        where = address or "on this machine"
        raise ClusterError(f"cannot join the Ray cluster: {reason}", where, _FIX) from error
    try:
        yield ray
    finally:
        ray.shutdown()


_FIX = "give the address of its head in ray.address or RAY_ADDRESS, or neither to work on this machine"


def _check_reachable(address: str) -> None:
    """Raise ClusterError where nothing answers at `address`; "local", "auto" and such name no host to ask."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ClusterError(f"cannot reach the Ray cluster: {reason}", address, _FIX) from error
