"""One fake run for all tests of the report; they only read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rba.report import page
from rba.workspace import Workspace
from report.fake_run import make_run, recipe_for


@pytest.fixture(scope="session")
def fake_run(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A whole run folder."""
    return make_run(tmp_path_factory.mktemp("report") / "run")


@pytest.fixture(scope="session")
def html(fake_run: Workspace) -> str:
    """Its report."""
    return page.html(fake_run, recipe_for(Path("runs/fake-run")))
