"""A reward whose model reads the run's task above each request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rba.lm.task import TaskSettings


class Instructed:
    """The reward `inner`, for which prompts are the requests with the `task` they were asked under."""

    def __init__(self, inner: Any, task: TaskSettings):
        self.inner, self.task, self.name = inner, task, inner.name

    def __call__(
        self, prompts: Sequence[str], completions: Sequence[str], *args: Any, **columns: Any
    ) -> Sequence[float | None]:
        """One value per completion; all but the prompts is passed on as it is."""
        return self.inner([self.task.written(prompt) for prompt in prompts], completions, *args, **columns)
