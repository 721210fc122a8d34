"""What rba needs of a SpeechLM, of whatever family, as named checks that run on the model itself.

`conformance(model, waves)` runs them all; `rba check` prints them. The checks themselves are in `conformance_checks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from rba.models.clips import ONE
from rba.models.load import load_speechlm
from rba.models.speechlm import SpeechLM

TOLERANCE = {torch.float32: 1e-4, torch.float16: 0.05, torch.bfloat16: 0.1}
"""Nats by which two ways to the same log-prob may differ, by the precision of the weights."""


PLAIN = "nothing is shared"
NO_OTHER = "the model is rba's own"
"""How the findings begin of a model whose answers take a whole pass each, and of one with no other forward pass."""


class Failed(Exception):
    """A check that does not hold; its message says what was seen."""


@dataclass
class Subject:
    """The model under the checks and what they share: two clips or more that say different things.

    The last checks put an adapter on `speechlm` and change its weights.
    """

    speechlm: SpeechLM
    waves: Sequence[np.ndarray]
    reopen: Callable[[Path, str], SpeechLM] = load_speechlm

    @property
    def tolerance(self) -> float:
        """How far, in nats, two ways to the same log-prob may be apart."""
        return TOLERANCE[self.speechlm.lm.model.dtype]

    @property
    def dtype(self) -> str:
        """The precision of the LLM's weights, such as "float32"."""
        return str(self.speechlm.lm.model.dtype).removeprefix("torch.")


@dataclass(frozen=True)
class Finding:
    """Whether the check `name` passed; `claim` is what it checks, `seen` what was seen, both in plain words."""

    name: str
    claim: str
    passed: bool
    seen: str


@dataclass(frozen=True)
class Check:
    """A check: `run` returns what it saw, or raises `Failed`."""

    name: str
    claim: str
    run: Callable[[Subject], str]


def conformance(
    speechlm: SpeechLM,
    waves: Sequence[np.ndarray],
    reopen: Callable[[Path, str], SpeechLM] = load_speechlm,
) -> Iterator[Finding]:
    """Run every check on a freshly opened `speechlm`, one finding each; it is of no use for anything else afterwards.

    `waves` are two 16 kHz mono clips or more that say different things; `reopen` opens what the model saved, given the
    folder and the precision. A check that cannot even run has failed: its error is what was seen.
    """
    from rba.models.conformance_checks import CHECKS

    subject = Subject(speechlm, waves, reopen)
    for check in CHECKS:
        yield examine(check, subject)


def examine(check: Check, subject: Subject) -> Finding:
    """Run one check."""
    try:
        seen, passed = check.run(subject), True
    except Failed as failure:
        seen, passed = str(failure), False
    except Exception as error:  # a broken model may raise anything, and the other checks are still worth running
        lines = str(error).strip().splitlines() or [""]
        seen, passed = f"it cannot be run: {type(error).__name__}: {lines[0]}", False
    return Finding(check.name, check.claim, passed, seen)


def conformance_table(found: Mapping[str, Sequence[Finding]]) -> str:
    """A Markdown table of findings: a row a family, a column a check; "plain" where no prompt is shared."""
    names = [finding.name for finding in next(iter(found.values()))]
    lines = [f"| family | {' | '.join(names)} |", "| --- |" + " --- |" * len(names)]
    lines += [f"| {title} | {' | '.join(map(_cell, rows))} |" for title, rows in found.items()]
    return "\n".join(lines) + "\n"


def _cell(finding: Finding) -> str:
    if not finding.passed:
        return "**fails**"
    return {PLAIN: "plain", NO_OTHER: "–", ONE: "one clip"}.get(finding.seen.split(":")[0], "pass")
