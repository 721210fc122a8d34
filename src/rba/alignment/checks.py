"""Before training: does the audio matter? A model that does not listen is refused, not trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from rba.alignment.groups import Group
from rba.alignment.settings import AlignSettings
from rba.data import audio
from rba.data.utterance import Utterance
from rba.errors import ModelError
from rba.lm.scorer import precision, score
from rba.models.speechlm import SpeechLM

CLIPS = 8
LEAST_EFFECT = 1e-3


@torch.no_grad()
def audio_effect(
    speechlm: SpeechLM, waves: Sequence[np.ndarray], answers: Sequence[Sequence[int]], settings: AlignSettings
) -> float:
    """Mean absolute change, in nats a token, of the answers' log-probs when the speech becomes silence as long."""
    logp = []
    for clips in (list(waves), [np.zeros_like(wave) for wave in waves]):
        prompts = speechlm.prompts(speechlm.encode(clips))
        with precision(speechlm.lm, settings.dtype):
            logp.append(torch.cat(score(speechlm.lm, prompts, answers, settings.batch_tokens)))
    return float((logp[0] - logp[1]).abs().mean())


def check_audio_matters(
    speechlm: SpeechLM, utterances: Sequence[Utterance], groups: Sequence[Group], settings: AlignSettings
) -> float:
    """The effect of the audio on the teacher's answers (nats a token). Raises ModelError if there is none."""
    audios = {u.id: u.audio for u in utterances}
    spoken = [(audio.decode(audios[g.utterances[0]], g.utterances[0]), g.reference) for g in groups[:CLIPS]]
    effect = audio_effect(speechlm, [wave for wave, _ in spoken], [answer for _, answer in spoken], settings)
    if not effect >= LEAST_EFFECT:
        what = (
            f"the model does not listen: speech and silence give the same log-probs (they differ by {effect:.1e} nats)"
        )
        raise ModelError(what, speechlm.name, "check the speech encoder and the connector")
    return effect
