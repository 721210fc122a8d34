"""DPO within one voice: of several answers to the same utterance, the best is preferred to the worst.

    L = mean_s -log sigmoid( beta (d(y+, x^(s)) - d(y-, x^(s))) ),   d(y, x) = log pi(y | x) - log pi_ref(y | x)

(arXiv 2305.18290). Both answers hear the same voice: beside RBA-Group it shows what comparing across voices adds.
"""

from __future__ import annotations

from rba.alignment.objectives.objective import Batch, Objective, Request, Task, Terms, gather, total
from rba.alignment.objectives.preference import margin, observations, preference_loss
from rba.alignment.pairs import pairs_within_voices
from rba.alignment.settings import AlignSettings


class Dpo(Objective):
    """Needs two or more self-samples a voice with rewards, and the reference. A voice without a pair counts as zero."""

    name = "dpo"
    needs_samples = needs_rewards = needs_reference = True

    def __init__(self, settings: AlignSettings):
        self.beta, self.eps = settings.beta, settings.tie_eps

    def requests(self, task: Task) -> list[Request]:
        """The best and the worst answer of every voice that has them, one after the other."""
        return [
            Request(task.voice(task.samples[i]), task.samples[i].ids, role, i)  # type: ignore[arg-type]
            for pair in pairs_within_voices(task, self.eps)
            for i, role in zip(pair, ("chosen", "rejected"))
        ]

    def terms(self, batch: Batch) -> Terms:
        """The preference; a mean over instructions of a mean over voices."""
        pairs = [list(zip(scored[::2], scored[1::2])) for scored in batch.scored]
        losses = [
            total(preference_loss(margin(*pair), self.beta) for pair in group) / len(task.utterances)
            for task, group in zip(batch.tasks, pairs)
        ]
        seen = gather([observations(*pair, self.beta) for group in pairs for pair in group])
        seen["pairs/dropped"] = [1 - len(group) / len(task.utterances) for task, group in zip(batch.tasks, pairs)]
        return Terms({"preference": total(losses) / len(batch.tasks)}, seen)


OBJECTIVE = Dpo
