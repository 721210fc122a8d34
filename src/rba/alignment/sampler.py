"""Who draws self-samples: the model in memory, or a vLLM server that is handed prompts and adapter.

A `Sampler` is asked for the policy of the moment and gives, for as long as a block runs, what draws from it. All
processes that work together enter and leave the block together.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Protocol

import torch

from rba import parallel
from rba.alignment.metrics import mean
from rba.alignment.settings import AlignSettings
from rba.alignment.vllm import Drawing, VllmServer
from rba.errors import ModelError
from rba.lm.generation import Completion, generate
from rba.lm.scorer import precision, score
from rba.models.adapters import adapter_parameters, has_lora, reference, save_lora_alone
from rba.models.speechlm import SpeechLM
from rba.services.service import parse_service

Draw = Callable[[Sequence[torch.Tensor], Sequence[int], int], list[list[Completion]]]
"""`draw(prompts, seeds, group)`: `group` answers to each prompt [T, D], one seed an answer, as [prompt][member]."""

CHECKED = 4
"""Answers of a server whose log-probs are measured here, too, whenever it has drawn."""

FURTHEST = 0.3
"""Nats a token by which they may lie apart. In bfloat16 the same model is .02 to .08 from itself, another one 1."""

NEARER = 0.02
"""Nats a token by which answers under an adapter may lie nearer to the model without it."""


class Sampler(Protocol):
    """Draws answers of a SpeechLM's policy."""

    def now(self, initial: bool) -> AbstractContextManager[Draw]:
        """What draws from the policy as it is now, or from the `initial` model, inside the block; no gradients."""
        ...


def load_sampler(speechlm: SpeechLM, settings: AlignSettings, folder: Path) -> Sampler:
    """What `align.rollout_server` names, or the model in memory. `folder` is where adapters are laid for a server."""
    if settings.rollout_server:
        return ServedSampler(speechlm, settings, VllmServer(parse_service(settings.rollout_server)), folder)
    return LocalSampler(speechlm, settings)


class LocalSampler(Sampler):
    """The model in memory; the same seeds give the same answers."""

    def __init__(self, speechlm: SpeechLM, settings: AlignSettings):
        self.speechlm, self.settings = speechlm, settings

    @contextmanager
    def now(self, initial: bool) -> Iterator[Draw]:
        """See `Sampler`; before the first update a new adapter changes nothing: it is left out to save its work."""
        with torch.no_grad(), reference(self.speechlm) if initial else nullcontext():
            yield self._draw

    def _draw(self, prompts: Sequence[torch.Tensor], seeds: Sequence[int], group: int) -> list[list[Completion]]:
        size = self.settings.rollout_batch
        return generate(self.speechlm.lm, prompts, self.settings.sample, seeds, group=group, batch_size=size)


class ServedSampler(Sampler):
    """A vLLM server that runs the SpeechLM's LLM. The policy's adapter is on it for as long as a block runs.

    The adapter goes by the hash of its weights and of the run's folder, so that what the server answered is told apart
    by policy, a resumed run finds it again, and no other run takes the adapter away.
    """

    def __init__(self, speechlm: SpeechLM, settings: AlignSettings, server: VllmServer, folder: Path):
        self.speechlm, self.settings, self.server, self.folder = speechlm, settings, server, folder

    @contextmanager
    def now(self, initial: bool) -> Iterator[Draw]:
        """See `Sampler`. Raises ModelError for a server that refuses adapters, prompts or draws from another model."""
        with torch.no_grad():
            if initial or not has_lora(self.speechlm.lm):
                with reference(self.speechlm) if initial else nullcontext():
                    yield partial(self._draw, "")
                return
            with self._offered() if parallel.world().leads else nullcontext("") as own:
                name = parallel.told(own)  # the others wait until it is there
                yield partial(self._draw, name)
                parallel.gathered(True)  # and the leader until none needs it

    @contextmanager
    def _offered(self) -> Iterator[str]:
        """The name under which the server has the adapter inside the block."""
        name = f"rba-{self._hash()}"
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=f"{name}-") as place:
            Path(place).chmod(0o755)  # the server may be another user's
            save_lora_alone(self.speechlm.lm, Path(place))
            self.server.load_adapter(name, Path(place).absolute(), self.settings.lora.rank)
            try:
                yield name
            finally:
                self.server.unload_adapter(name)

    def _hash(self) -> str:
        digest = hashlib.sha256(str(self.folder.absolute()).encode())
        for parameter in adapter_parameters(self.speechlm):
            digest.update(parameter.detach().float().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def _draw(
        self, adapter: str, prompts: Sequence[torch.Tensor], seeds: Sequence[int], group: int
    ) -> list[list[Completion]]:
        lm = self.speechlm.lm
        wanted = Drawing(self.settings.sample, group, tuple(lm.end_ids))
        check = partial(self._check, bool(adapter), prompts[:CHECKED])
        return self.server.draw(prompts, seeds[::group], wanted, lm.tokenizer, adapter, check)

    def _check(self, adapted: bool, prompts: Sequence[torch.Tensor], answers: list[list[Completion]]) -> None:
        """Raise ModelError where the server's log-probs are not this policy's, or rather those without its adapter."""
        seen = [row[0] for row in answers[: len(prompts)]]
        apart = self._gap(prompts, seen)
        if not apart <= FURTHEST:
            what = f"the server draws from another model: log-probs of its answers are {apart:.2f} nats a token off"
            fix = f"serve the SpeechLM's own LLM, {self.speechlm.lm.name}, unquantised (docs/services.md, Self-samples)"
            raise ModelError(what, self.settings.rollout_server, fix)
        if not adapted:
            return
        with reference(self.speechlm):
            without = self._gap(prompts, seen)
        if apart > without + NEARER:
            what = f"the server leaves the adapter out: log-probs are {apart:.2f} nats a token off, and {without:.2f}"
            fix = "let --lora-target-modules name all that align.lora.targets adapts (docs/services.md, Self-samples)"
            raise ModelError(f"{what} without it", self.settings.rollout_server, fix)

    def _gap(self, prompts: Sequence[torch.Tensor], answers: Sequence[Completion]) -> float:
        """The mean distance of their log-probs from the model's own, as it stands."""
        lm = self.speechlm.lm
        with precision(lm, self.settings.dtype):
            own = score(lm, prompts, [answer.ids for answer in answers], self.settings.batch_tokens)
        gaps = [(row.cpu() - torch.tensor(a.logprobs)).abs().tolist() for row, a in zip(own, answers)]
        return mean([gap for row in gaps for gap in row])
