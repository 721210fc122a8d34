"""`rba check`: runs the checks of `rba.models.conformance` on a model and says in plain words what passed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rba.errors import DataError

if TYPE_CHECKING:
    import numpy as np

SENTENCES = ("What is the capital of France?", "Tell me a short story about a dog and the sea.")


def check(model: str, recordings: Sequence[str] = (), dtype: str = "float32") -> bool:
    """Print one line for each check of the SpeechLM `model`, and whether all passed.

    It hears `recordings`, two or more that say different things, or two sentences that are spoken for it. Raises
    ModelError for a model that cannot be opened, AudioError or DataError for recordings that cannot be used.
    """
    from rba.data.audio import decode

    if len(recordings) == 1:
        raise DataError("one recording cannot show that the audio matters", recordings[0], "give two or more, or none")
    waves = [decode(path) for path in recordings]

    from rba.models.conformance import conformance
    from rba.models.load import load_speechlm
    from rba.models.told import untold

    speechlm = untold(load_speechlm(model, dtype))
    failed = total = 0
    for finding in conformance(speechlm, waves or _spoken()):
        print(f"{'pass' if finding.passed else 'FAIL'}  {finding.claim}: {finding.seen}", flush=True)
        total, failed = total + 1, failed + (not finding.passed)
    print(f"{model}: {total - failed} of {total} checks passed" + (f", {failed} failed" if failed else ""), flush=True)
    return not failed


def _spoken() -> list[np.ndarray]:
    """Two sentences from the default speech engine."""
    from rba.data import seeds
    from rba.speech.engine import find_engine
    from rba.speech.speaker import Speaker

    engine = find_engine("hibari")(threads=1)
    return [engine.say(text, Speaker("check"), seeds.derive("check", text) % 2**31) for text in SENTENCES]
