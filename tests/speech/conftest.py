"""What the speech tests share: the engine, loaded once, and one speaker."""

from __future__ import annotations

import pytest

from rba.speech.engine import Engine, load_engine
from rba.speech.speaker import Speaker, SpeakerBank


@pytest.fixture(scope="session")
def engine() -> Engine:
    """hibari, loaded once."""
    return load_engine("hibari")


@pytest.fixture(scope="session")
def speaker() -> Speaker:
    """A training speaker of the bank."""
    return SpeakerBank().speakers("train")[0]
