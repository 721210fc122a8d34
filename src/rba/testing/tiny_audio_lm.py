"""Tiny random audio LMs of the real classes of transformers, each with its real processor, made in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rba.testing.tiny_lm import SPECIAL, tiny_tokenizer

if TYPE_CHECKING:
    from rba.models.audio_lm import AudioLM

MARKS = {
    "audio_token": "<|audio|>",
    "audio_bos_token": "<|audio_start|>",
    "audio_eos_token": "<|audio_end|>",
    "image_token": "<|image|>",
    "video_token": "<|video|>",
    "vision_bos_token": "<|vision_start|>",
    "vision_eos_token": "<|vision_end|>",
}
_BOUNDS = {f"{end}o{what}_token": f"<|{end}o{what}|>" for end in "be" for what in "ai"}
AUDIO_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'audio' %}<|audio_start|><|audio|><|audio_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_KINDS = ("audio", "image", "video")
MELS, WIDTH = 16, 32
SECONDS = 10
"""The clip that the towers pad to: 30 in the real ones."""


def tiny_audio_tokenizer(**more: str) -> Any:
    """The byte tokenizer with the marks of audio, images and video, and `more`, and a template that places audio."""
    from transformers import PreTrainedTokenizerFast

    core, marks = tiny_tokenizer().backend_tokenizer, {**MARKS, **more}
    core.add_special_tokens(list(marks.values()))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token=SPECIAL[2], pad_token=SPECIAL[0], extra_special_tokens=marks
    )
    tokenizer.chat_template, tokenizer.padding_side = AUDIO_TEMPLATE, "left"
    return tokenizer


def tiny_audio_lm(model_type: str = "qwen2_audio", seed: int = 0, window: int = 0) -> AudioLM:
    """A random float32 audio LM of the class that `model_type` names: the same weights for the same seed.

    With `window`, a Qwen2-Audio around an LLM whose layers see as many tokens back and no more.
    """
    import torch
    import transformers

    from rba.models.audio_lm import wrap
    from rba.models.families import FAMILIES

    family = FAMILIES[model_type]
    tokenizer = tiny_audio_tokenizer()
    config, processor = BUILDERS[model_type](tokenizer)
    if window:
        config.text_config = transformers.MistralConfig(**_text(tokenizer), sliding_window=window)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        core = getattr(transformers, family.model_class)(config).eval()
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


def _text(tokenizer: Any, **extra: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "bos_token_id": 1,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": 0,
        **extra,
    }


def _whisper_like() -> dict[str, Any]:
    return {
        "num_mel_bins": MELS,
        "d_model": 16,
        "encoder_layers": 1,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "max_source_positions": 50 * SECONDS,
    }


def _ears() -> Any:
    from transformers import WhisperFeatureExtractor

    return WhisperFeatureExtractor(feature_size=MELS, chunk_length=SECONDS, return_attention_mask=True)


def _audio_id(tokenizer: Any) -> int:
    return int(tokenizer.convert_tokens_to_ids(MARKS["audio_token"]))


def _qwen2_audio(tokenizer: Any) -> tuple[Any, Any]:
    from transformers import Qwen2AudioConfig, Qwen2AudioProcessor

    config = Qwen2AudioConfig(
        audio_config={"model_type": "qwen2_audio_encoder", **_whisper_like()},
        text_config={"model_type": "qwen2", **_text(tokenizer)},
        audio_token_index=_audio_id(tokenizer),
    )
    return config, Qwen2AudioProcessor(_ears(), tokenizer, chat_template=AUDIO_TEMPLATE)


def _flamingo_tower() -> dict[str, Any]:
    return {
        "model_type": "audioflamingo3_encoder",
        "max_source_positions": 50 * SECONDS,
        "num_mel_bins": MELS,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }


def _audio_flamingo(tokenizer: Any) -> tuple[Any, Any]:
    from transformers import AudioFlamingo3Config, AudioFlamingo3Processor

    config = AudioFlamingo3Config(
        audio_config=_flamingo_tower(),
        text_config={"model_type": "qwen2", **_text(tokenizer)},
        audio_token_id=_audio_id(tokenizer),
    )
    return config, AudioFlamingo3Processor(
        _ears(), tokenizer, chat_template=AUDIO_TEMPLATE, audio_token=MARKS["audio_token"]
    )


def _glm_asr(tokenizer: Any) -> tuple[Any, Any]:
    from transformers import GlmAsrConfig, GlmAsrProcessor

    config = GlmAsrConfig(
        audio_config={
            "model_type": "glmasr_encoder",
            "num_mel_bins": MELS,
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 64,
        },
        text_config={"model_type": "llama", **_text(tokenizer)},
        audio_token_id=_audio_id(tokenizer),
    )
    return config, GlmAsrProcessor(_ears(), tokenizer, chat_template=AUDIO_TEMPLATE, audio_token=MARKS["audio_token"])


def _qwen3_asr(tokenizer: Any) -> tuple[Any, Any]:
    from transformers import Qwen3ASRConfig, Qwen3ASRFeatureExtractor, Qwen3ASRProcessor

    config = Qwen3ASRConfig(
        audio_config={
            "model_type": "qwen3_asr_encoder",
            **_whisper_like(),
            "output_dim": WIDTH,
            "downsample_hidden_size": 8,
        },
        text_config={"model_type": "qwen3", **_text(tokenizer, head_dim=8)},
        audio_token_id=_audio_id(tokenizer),
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=0,
    )
    ears = Qwen3ASRFeatureExtractor(feature_size=MELS)
    return config, Qwen3ASRProcessor(ears, tokenizer, chat_template=AUDIO_TEMPLATE)


def _music_flamingo(tokenizer: Any) -> tuple[Any, Any]:
    from transformers import MusicFlamingoConfig, MusicFlamingoProcessor

    marks = {key: MARKS[key] for key in ("audio_token", "audio_bos_token", "audio_eos_token")}
    config = MusicFlamingoConfig(
        audio_config=_flamingo_tower(),
        text_config={"model_type": "qwen2", **_text(tokenizer)},
        **{f"{key}_id": tokenizer.convert_tokens_to_ids(mark) for key, mark in marks.items()},
    )
    return config, MusicFlamingoProcessor(_ears(), tokenizer, chat_template=AUDIO_TEMPLATE, **marks)


def _granite_speech(tokenizer: Any, kind: str = "GraniteSpeech", **encoder: Any) -> tuple[Any, Any]:
    import transformers

    from rba.testing.stand_ins import granite_ears

    config = getattr(transformers, f"{kind}Config")(
        text_config={"model_type": "granite", **_text(tokenizer)},
        encoder_config={
            "input_dim": 2 * MELS,
            "num_layers": 2,
            "hidden_dim": 16,
            "num_heads": 2,
            "dim_head": 8,
            "output_dim": 8,
            "context_size": 20,
            "max_pos_emb": 32,
            **encoder,
        },
        projector_config={
            "model_type": "blip_2_qformer",
            "hidden_size": 16,
            "encoder_hidden_size": 16 * (1 + len(encoder.get("cat_hidden_layers", []))),
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
        },
        audio_token_index=_audio_id(tokenizer),
        has_lora_adapter=False,
    )
    processor = transformers.GraniteSpeechProcessor(granite_ears(MELS), tokenizer, chat_template=AUDIO_TEMPLATE)
    return config, processor


def _granite_speech_plus(tokenizer: Any) -> tuple[Any, Any]:
    return _granite_speech(tokenizer, "GraniteSpeechPlus", cat_hidden_layers=[1])


def _omni(tokenizer: Any) -> tuple[Any, Any]:
    from transformers import Qwen2_5OmniProcessor, Qwen2_5OmniThinkerConfig

    from rba.models.hearing import without_eyes

    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    make: Any = Qwen2_5OmniThinkerConfig  # it reads tokens that it does not declare
    config = make(
        audio_config={**_whisper_like(), "output_dim": WIDTH},
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": WIDTH,
            "fullatt_block_indexes": [0],
        },
        text_config=_text(tokenizer, rope_parameters=rope),
        audio_token_index=_audio_id(tokenizer),
        image_token_index=tokenizer.convert_tokens_to_ids(MARKS["image_token"]),
        video_token_index=tokenizer.convert_tokens_to_ids(MARKS["video_token"]),
        audio_start_token_id=tokenizer.convert_tokens_to_ids(MARKS["audio_bos_token"]),
        audio_end_token_id=tokenizer.convert_tokens_to_ids(MARKS["audio_eos_token"]),
        vision_start_token_id=tokenizer.convert_tokens_to_ids(MARKS["vision_bos_token"]),
        vision_end_token_id=tokenizer.convert_tokens_to_ids(MARKS["vision_eos_token"]),
    )
    return config, without_eyes(Qwen2_5OmniProcessor, _ears(), tokenizer, AUDIO_TEMPLATE)


def _omni3(tokenizer: Any) -> tuple[Any, Any]:
    from transformers import Qwen3OmniMoeProcessor, Qwen3OmniMoeThinkerConfig

    from rba.models.hearing import without_eyes

    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    make: Any = Qwen3OmniMoeThinkerConfig  # it reads a token that it does not declare
    config = make(
        audio_config={**_whisper_like(), "output_dim": WIDTH, "downsample_hidden_size": 8},
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": WIDTH,
            "num_position_embeddings": 4,
            "deepstack_visual_indexes": [0],
        },
        text_config=_text(tokenizer, rope_parameters=rope, **experts),
        **{f"{kind}_token_id": tokenizer.convert_tokens_to_ids(MARKS[f"{kind}_token"]) for kind in _KINDS},
        audio_start_token_id=tokenizer.convert_tokens_to_ids(MARKS["audio_bos_token"]),
        vision_start_token_id=tokenizer.convert_tokens_to_ids(MARKS["vision_bos_token"]),
    )
    return config, without_eyes(Qwen3OmniMoeProcessor, _ears(), tokenizer, AUDIO_TEMPLATE)


def _phi4(tokenizer: Any) -> tuple[Any, Any]:
    from transformers import Phi4MultimodalConfig, Phi4MultimodalFeatureExtractor, Phi4MultimodalProcessor

    from rba.models.hearing import without_eyes

    config = Phi4MultimodalConfig(
        audio_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_blocks": 1,
            "num_attention_heads": 2,
            "ext_pw_out_channel": 16,
            "depthwise_separable_out_channel": 16,
            "nemo_conv_channels": 8,
            "input_size": MELS,
            "audio_token_id": _audio_id(tokenizer),
        },
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 28,
            "crop_size": 28,
            "image_token_id": tokenizer.convert_tokens_to_ids(MARKS["image_token"]),
        },
        **_text(tokenizer),
    )
    ears = Phi4MultimodalFeatureExtractor(feature_size=MELS)
    return config, without_eyes(Phi4MultimodalProcessor, ears, tokenizer, AUDIO_TEMPLATE)


def _voxtral(tokenizer: Any) -> tuple[Any, Any]:
    from transformers import VoxtralConfig

    from rba.models.voxtral import VoxtralTurns
    from rba.testing.tekken import tiny_tekken_tokenizer

    tekken = tiny_tekken_tokenizer()
    processor = VoxtralTurns(_ears(), tekken)
    config = VoxtralConfig(
        audio_config={"model_type": "voxtral_encoder", **_whisper_like(), "encoder_ffn_dim": 64},
        text_config={"model_type": "llama", **_text(tekken, head_dim=8)},
        audio_token_id=tekken.convert_tokens_to_ids(processor.audio_token),
    )
    return config, processor


def _gemma4(_: Any) -> tuple[Any, Any]:
    from transformers import Gemma4AudioFeatureExtractor, Gemma4Config, Gemma4Processor

    from rba.models.hearing import without_eyes

    tokenizer = tiny_audio_tokenizer(**_BOUNDS)
    config = Gemma4Config(
        audio_config={
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "subsampling_conv_channels": [MELS, 4],
            "output_proj_dims": 16,
        },
        vision_config=None,
        text_config={
            **_text(tokenizer),
            "num_hidden_layers": 4,
            "head_dim": 8,
            "global_head_dim": 16,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
            "sliding_window": 24,
            "num_kv_shared_layers": 2,
            "hidden_size_per_layer_input": 4,
            "vocab_size_per_layer_input": len(tokenizer),
            "final_logit_softcapping": 5.0,
        },
        **{f"{kind}_token_id": tokenizer.convert_tokens_to_ids(MARKS[f"{kind}_token"]) for kind in _KINDS},
    )
    ears = Gemma4AudioFeatureExtractor(feature_size=MELS)
    return config, without_eyes(Gemma4Processor, ears, tokenizer, AUDIO_TEMPLATE)


BUILDERS: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "qwen2_audio": _qwen2_audio,
    "audioflamingo3": _audio_flamingo,
    "glmasr": _glm_asr,
    "musicflamingo": _music_flamingo,
    "qwen3_asr": _qwen3_asr,
    "granite_speech": _granite_speech,
    "granite_speech_plus": _granite_speech_plus,
    "voxtral": _voxtral,
    "qwen2_5_omni_thinker": _omni,
    "qwen3_omni_moe_thinker": _omni3,
    "phi4_multimodal": _phi4,
    "gemma4": _gemma4,
}
"""A configuration and a processor for each family, made with a tokenizer."""

STAND_INS = ("granite_speech", "granite_speech_plus")
"""The families whose own processor needs a package that rba does not install: theirs is a stand-in, not to be saved."""
