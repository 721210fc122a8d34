"""Processors of models that also see, opened without their parts for images and video and what those need."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

EYES = ("image_processor", "video_processor")
CLOSED = SimpleNamespace(merge_size=1, model_input_names=[])
"""In the place of a part that sees: some releases of transformers read these off it though there is nothing to see."""


def qwen2_5_omni(source: str) -> Any:
    """Qwen2.5-Omni's processor for text and audio, from a folder or hub id."""
    from transformers import Qwen2_5OmniProcessor

    return _open(Qwen2_5OmniProcessor, source)


def qwen3_omni(source: str) -> Any:
    """Qwen3-Omni's processor for text and audio, from a folder or hub id."""
    from transformers import Qwen3OmniMoeProcessor

    return _open(Qwen3OmniMoeProcessor, source)


def phi4_multimodal(source: str) -> Any:
    """Phi-4-multimodal's processor for text and audio, from a folder or hub id."""
    from transformers import Phi4MultimodalProcessor

    return _open(Phi4MultimodalProcessor, source)


def gemma3n(source: str) -> Any:
    """Gemma 3n's processor for text and audio, from a folder or hub id."""
    from transformers import Gemma3nConfig, Gemma3nProcessor

    rows = Gemma3nConfig.get_config_dict(source)[0]["audio_soft_tokens_per_image"]
    return _open(Gemma3nProcessor, source, audio_seq_length=rows)


def gemma4(source: str) -> Any:
    """Gemma 4's processor for text and audio, from a folder or hub id."""
    from transformers import Gemma4Processor

    return _open(Gemma4Processor, source)


def gemma4_unified(source: str) -> Any:
    """Gemma 4 Unified's processor for text and audio, from a folder or hub id."""
    from transformers import Gemma4UnifiedProcessor

    return _open(Gemma4UnifiedProcessor, source)


def nemotron_omni(source: str) -> Any:
    """Nemotron 3 Omni's processor for text and audio, from a folder or hub id."""
    from transformers import NemotronH_Omni_Reasoning_V3Processor

    return _open(NemotronH_Omni_Reasoning_V3Processor, source)


def without_eyes(kind: Any, ears: Any, tokenizer: Any, chat_template: str | None = None, **sizes: int) -> Any:
    """A processor of the class `kind` made of a feature extractor and a tokenizer; it cannot be given images.

    `sizes` go to the class.
    """

    class Hearing(kind):
        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            if argument_name in EYES:
                return type(argument)
            return super().check_argument_for_proper_class(argument_name, argument)

        def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
            """Write the parts that there are, as a model's folder has them."""
            ears.save_pretrained(save_directory)
            tokenizer.save_pretrained(save_directory)

    parts = {name: CLOSED if name in EYES else ears for name in kind.get_attributes()}
    tokenizer.chat_template = tokenizer.chat_template or chat_template
    return Hearing(**{**parts, "tokenizer": tokenizer}, chat_template=tokenizer.chat_template, **sizes)


def _open(kind: Any, source: str, **sizes: int) -> Any:
    from transformers import AutoFeatureExtractor, AutoTokenizer

    template = kind.get_processor_dict(source)[0].get("chat_template")
    ears, tokenizer = AutoFeatureExtractor.from_pretrained(source), AutoTokenizer.from_pretrained(source)
    return without_eyes(kind, ears, tokenizer, template, **sizes)
