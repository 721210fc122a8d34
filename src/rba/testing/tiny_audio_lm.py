"""Tiny random audio LMs of the real classes of transformers, each with its real processor, made in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rba.testing import tiny_hearing_families as hearing
from rba.testing import tiny_seeing_families as seeing
from rba.testing.tiny_audio_parts import AUDIO_TEMPLATE, MARKS, text_sizes, tiny_audio_tokenizer

if TYPE_CHECKING:
    from rba.models.audio_lm import AudioLM

__all__ = [
    "AUDIO_TEMPLATE",
    "BUILDERS",
    "MARKS",
    "STAND_INS",
    "save_tiny_audio_lm",
    "tiny_audio_lm",
    "tiny_audio_tokenizer",
]


def tiny_audio_lm(model_type: str = "qwen2_audio", seed: int = 0, window: int = 0) -> AudioLM:
    """A random float32 audio LM of the class that `model_type` names: the same weights for the same seed.

    With `window`, a Qwen2-Audio around an LLM whose layers see as many tokens back and no more.
    """
    import torch
    import transformers

    from rba.models.audio_lm import wrap
    from rba.models.bridge import class_of
    from rba.models.families import FAMILIES

    family = FAMILIES[model_type]
    tokenizer = tiny_audio_tokenizer()
    config, processor = BUILDERS[model_type](tokenizer)
    if window:
        config.text_config = transformers.MistralConfig(**text_sizes(tokenizer), sliding_window=window)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        core = class_of(family)(config).eval()
        _loosen(core)
    core.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    return wrap(core, processor, family, f"tiny-{model_type}", f"tiny-{model_type}")


def save_tiny_audio_lm(folder: str | Path, model_type: str = "qwen2_audio", seed: int = 0) -> Path:
    """Save the tiny audio LM as transformers saves it: `load_speechlm` opens the folder, and so does its own class."""
    model = tiny_audio_lm(model_type, seed)
    model.core.save_pretrained(folder)
    model.processor.save_pretrained(folder)
    return Path(folder)


def _loosen(core: Any) -> None:
    """Random weights large enough that audio and words matter; those of the usual size say nearly the same to all."""
    import torch

    for name, weight in core.named_parameters():
        if weight.ndim > 1 and "positional" not in name:
            with torch.no_grad():
                weight.normal_(0.0, 0.2)


BUILDERS: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "qwen2_audio": hearing.qwen2_audio,
    "audioflamingo3": hearing.audio_flamingo,
    "glmasr": hearing.glm_asr,
    "musicflamingo": hearing.music_flamingo,
    "qwen3_asr": hearing.qwen3_asr,
    "fun_asr_nano": hearing.fun_asr_nano,
    "granite_speech": hearing.granite_speech,
    "granite_speech_plus": hearing.granite_speech_plus,
    "voxtral": hearing.voxtral,
    "ultravox": hearing.ultravox,
    "desta25": hearing.desta,
    "salmonn": hearing.salmonn,
    "qwen2_5_omni_thinker": seeing.omni,
    "qwen3_omni_moe_thinker": seeing.omni3,
    "phi4_multimodal": seeing.phi4,
    "gemma3n": seeing.gemma3n,
    "gemma4": seeing.gemma4,
    "gemma4_unified": seeing.gemma4_unified,
    "nemotron_h_omni": seeing.nemotron_omni,
}
"""A configuration and a processor for each family, made with a tokenizer."""
NOT_SHARED = ("gemma3n", "gemma4", "gemma4_unified", "nemotron_h_omni")
"""Families of which prompts are not shared: layers have windows or states."""

STAND_INS = ("fun_asr_nano", "granite_speech", "granite_speech_plus")
"""The families whose own processor needs a package that rba does not install: theirs is a stand-in, not to be saved."""
