"""The speech of a run as the LLM sees it: every clip is encoded once and kept in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from rba.data import audio
from rba.data.utterance import Utterance
from rba.errors import AudioError
from rba.models.speechlm import SpeechLM
from rba.progress import progress

CHUNK = 64


class PromptBank:
    """Speech prompts [T, D] by utterance id.

    `initial` gives those of the model before alignment. `current` gives the policy's: the same tensors while the
    connector is frozen, else new ones from the kept features, differentiable in the connector.
    """

    def __init__(self, speechlm: SpeechLM, prompts: dict[str, torch.Tensor], features: dict[str, torch.Tensor] | None):
        self.speechlm, self._prompts, self._features = speechlm, prompts, features

    def __contains__(self, utterance: str) -> bool:
        return utterance in self._prompts

    def length(self, utterance: str) -> int:
        """The rows of the prompt, as it was at the start."""
        return len(self._prompts[utterance])

    def initial(self, utterances: Sequence[str]) -> list[torch.Tensor]:
        """The prompts of the model as it was at the start, without gradients."""
        device = self.speechlm.lm.device
        return [self._prompts[u].to(device) for u in utterances]

    def current(self, utterances: Sequence[str]) -> list[torch.Tensor]:
        """The prompts of the policy."""
        if self._features is None:
            return self.initial(utterances)
        return self.speechlm.prompts([self._features[u] for u in utterances])


def build_bank(
    speechlm: SpeechLM, utterances: Sequence[Utterance], keep_features: bool, cache: Path | None = None
) -> tuple[PromptBank, dict[str, str]]:
    """Encode `utterances` with the model as it is now; also returns why clips were left out, by utterance id.

    With `cache`, what was encoded for the same list is read from that folder; the caller answers for its being current.
    """
    kept, lost = _read(cache, keep_features)
    if kept is None:
        kept, lost = _encode(speechlm, utterances, keep_features)
        _write(cache, keep_features, kept, lost)
    if not keep_features:
        return PromptBank(speechlm, kept, None), lost
    prompts: dict[str, torch.Tensor] = {}
    for start in range(0, len(kept), CHUNK):
        names = list(kept)[start : start + CHUNK]
        prompts.update(zip(names, _prompts(speechlm, [kept[n] for n in names])))
    return PromptBank(speechlm, prompts, kept), lost


def _encode(
    speechlm: SpeechLM, utterances: Sequence[Utterance], keep_features: bool
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Features (float16) or prompts of every sound clip, and what is wrong with the others."""
    kept: dict[str, torch.Tensor] = {}
    lost: dict[str, str] = {}
    with progress("listening", len(utterances)) as bar:
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


@torch.no_grad()
def _prompts(speechlm: SpeechLM, features: list[torch.Tensor]) -> list[torch.Tensor]:
    return [p.detach().cpu() for p in speechlm.prompts(features)]


def _place(cache: Path, keep_features: bool) -> Path:
    return cache / ("features.safetensors" if keep_features else "prompts.safetensors")


def _read(cache: Path | None, keep_features: bool) -> tuple[dict[str, torch.Tensor] | None, dict[str, str]]:
    from safetensors import safe_open

    if cache is None or not _place(cache, keep_features).is_file():
        return None, {}
    with safe_open(_place(cache, keep_features), "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118


def _write(cache: Path | None, keep_features: bool, kept: dict[str, torch.Tensor], lost: dict[str, str]) -> None:
    from safetensors.torch import save

    from rba.workspace import write_bytes

    if cache is not None and kept:
        write_bytes(_place(cache, keep_features), save(kept, metadata=lost))
