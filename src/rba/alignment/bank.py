"""The speech of a run as the LLM sees it: every clip is encoded once and kept, in memory or on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch

from rba.alignment.encoded import Made, encoded
from rba.alignment.groups import Group
from rba.data import audio
from rba.data.utterance import Utterance
from rba.errors import AudioError
from rba.models.speechlm import SpeechLM
from rba.progress import Progress, progress

CHUNK = 64
GIB = 2**30


class PromptBank:
    """Speech prompts [T, D] by utterance id.

    `initial` gives those of the model before alignment. `current` gives the policy's: the same tensors while the
    connector is frozen, else new ones from the kept features, differentiable in the connector.
    """

    def __init__(
        self,
        speechlm: SpeechLM,
        prompts: Mapping[str, torch.Tensor],
        features: Mapping[str, torch.Tensor] | None,
    ):
        self.speechlm, self._prompts, self._features = speechlm, prompts, features

    def __contains__(self, utterance: str) -> bool:
        return utterance in self._prompts

    @property
    def has_features(self) -> bool:
        """Whether the policy's prompts are made anew from features."""
        return self._features is not None

    def length(self, utterance: str) -> int:
        """The rows of the prompt, as it was at the start."""
        return len(self._prompts[utterance])

    def initial(self, utterances: Sequence[str]) -> list[torch.Tensor]:
        """The prompts of the model as it was at the start, without gradients."""
        device = self.speechlm.lm.device
        return [self._prompts[u].to(device) for u in utterances]

    def features(self, utterances: Sequence[str]) -> list[torch.Tensor]:
        """The encoder's features, where they are kept."""
        assert self._features is not None
        return [self._features[u] for u in utterances]

    def current(self, utterances: Sequence[str]) -> list[torch.Tensor]:
        """The prompts of the policy."""
        return self.speechlm.prompts(self.features(utterances)) if self.has_features else self.initial(utterances)


def build_bank(
    speechlm: SpeechLM,
    utterances: Sequence[Utterance],
    keep_features: bool,
    cache: Path | None = None,
    in_memory: float = 8.0,
) -> tuple[PromptBank, dict[str, str]]:
    """Encode `utterances` with the model as it is now; also returns why clips were left out, by utterance id.

    With `cache`, what was encoded for the same list is read from that folder; the caller answers for its being current.
    Of features or prompts of over `in_memory` GiB there, only what is used is read.
    """
    prompts: Mapping[str, torch.Tensor]
    with progress("listening", len(utterances)) as bar:

        def listen(rows: Sequence[Utterance]) -> Made:
            return _encode(speechlm, rows, keep_features, bar)

        if cache is None:
            kept, lost = listen(utterances)
            if not keep_features:
                return PromptBank(speechlm, kept, None), lost
            prompts, _ = _all_prompts(speechlm, kept, list(kept))
            return PromptBank(speechlm, prompts, kept), lost
        limit = in_memory * GIB
        found = encoded(cache, "features" if keep_features else "prompts", utterances, listen, limit)
    if not keep_features:
        return PromptBank(speechlm, found, None), found.metadata
    prompts = encoded(cache, "initial", list(found), partial(_all_prompts, speechlm, found), limit)
    return PromptBank(speechlm, prompts, found), found.metadata


def typed_bank(speechlm: SpeechLM, groups: Sequence[Group]) -> PromptBank:
    """The words of every utterance of `groups`, typed: the prompts of a training that hears nothing."""
    prompts: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        for start in range(0, len(groups), CHUNK):
            chunk = groups[start : start + CHUNK]
            for group, prompt in zip(chunk, speechlm.text_prompts([group.text for group in chunk])):
                prompts |= dict.fromkeys(group.utterances, prompt.detach().cpu())
    return PromptBank(speechlm, prompts, None)


def _encode(speechlm: SpeechLM, utterances: Sequence[Utterance], keep_features: bool, bar: Progress) -> Made:
    """Features (float16) or prompts of every sound clip, and what is wrong with the others."""
    kept: dict[str, torch.Tensor] = {}
    lost: dict[str, str] = {}
    for start in range(0, len(utterances), CHUNK):
        waves = {}
        for utterance in utterances[start : start + CHUNK]:
            try:
                waves[utterance.id] = audio.decode(utterance.audio, f"utterance {utterance.id}")
            except AudioError as error:
                lost[utterance.id] = error.what
        if waves:
            features = [f.to("cpu", torch.float16) for f in speechlm.encode(list(waves.values()))]
            kept.update(zip(waves, features if keep_features else _prompts(speechlm, features)))
        bar.advance(len(utterances[start : start + CHUNK]))
    return kept, lost


def _all_prompts(speechlm: SpeechLM, features: Mapping[str, torch.Tensor], names: Sequence[str]) -> Made:
    """The prompts that the model makes of `features` now."""
    prompts: dict[str, torch.Tensor] = {}
    for start in range(0, len(names), CHUNK):
        chunk = names[start : start + CHUNK]
        prompts.update(zip(chunk, _prompts(speechlm, [features[n] for n in chunk])))
    return prompts, {}


@torch.no_grad()
def _prompts(speechlm: SpeechLM, features: list[torch.Tensor]) -> list[torch.Tensor]:
    return [p.detach().cpu() for p in speechlm.prompts(features)]
