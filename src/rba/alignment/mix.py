"""Training instructions of other runs, learnt beside a run's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rba import document
from rba.data.utterance import Utterance
from rba.errors import RecipeError, WorkspaceError
from rba.files import local
from rba.rewards.words import wording
from rba.workspace import StageFolder, Workspace

SPEECH = "speech"


def speech_of(run: str) -> StageFolder:
    """The finished speech of another run. Raises WorkspaceError where there is none."""
    folder = Workspace(local(run)).stage(SPEECH)
    if not folder.is_complete:
        fix = "give run folders whose speech is finished: rba synthesize and rba speak make it"
        raise WorkspaceError("no finished speech to mix in", f"align.mix {run}", fix)
    return folder


def check_task(run: str, task: str) -> None:
    """Raise RecipeError where the answers of another run were given to another task than `task`, a prompt."""
    place = local(run) / "config.yaml"
    own = document.read(place).get("task", {}).get("prompt", "") if place.is_file() else ""
    if own != task:
        what = "a run with another task cannot be mixed in: all that a model learns is asked in the same words"
        raise RecipeError(what, f"align.mix {run}", "mix runs with the same task.prompt")


def with_mixed(own: Sequence[Utterance], runs: Iterable[str]) -> list[Utterance]:
    """`own`, and after them the training utterances of `runs`.

    An instruction that an earlier run has in the same words, in whatever split, is left out: what is tested in one run
    is not trained on from another.
    """
    utterances = list(own)
    for run in runs:
        known = {wording(u.text) for u in utterances}
        others = speech_of(run).read(Utterance)
        utterances += [u for u in others if u.split == "train" and wording(u.text) not in known]
    return utterances
