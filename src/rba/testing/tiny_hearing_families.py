"""Tiny configurations and real processors of audio LMs that hear and read, each made with a tokenizer."""

from __future__ import annotations

from typing import Any

from rba.testing.tiny_audio_parts import (
    AUDIO_TEMPLATE,
    MARKS,
    MELS,
    SECONDS,
    WIDTH,
    audio_id,
    text_sizes,
    tiny_audio_tokenizer,
    whisper_ears,
    whisper_sizes,
)


def _processor(made_of: Any, tokenizer: Any) -> Any:
    """A processor whose class asks for the audio token beside the template."""
    return made_of(whisper_ears(), tokenizer, chat_template=AUDIO_TEMPLATE, audio_token=MARKS["audio_token"])


def qwen2_audio(tokenizer: Any) -> tuple[Any, Any]:
    """Qwen2-Audio."""
    from transformers import Qwen2AudioConfig, Qwen2AudioProcessor

    config = Qwen2AudioConfig(
        audio_config={"model_type": "qwen2_audio_encoder", **whisper_sizes()},
        text_config={"model_type": "qwen2", **text_sizes(tokenizer)},
        audio_token_index=audio_id(tokenizer),
    )
    return config, Qwen2AudioProcessor(whisper_ears(), tokenizer, chat_template=AUDIO_TEMPLATE)


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


def audio_flamingo(tokenizer: Any) -> tuple[Any, Any]:
    """Audio Flamingo 3."""
    from transformers import AudioFlamingo3Config, AudioFlamingo3Processor

    config = AudioFlamingo3Config(
        audio_config=_flamingo_tower(),
        text_config={"model_type": "qwen2", **text_sizes(tokenizer)},
        audio_token_id=audio_id(tokenizer),
    )
    return config, _processor(AudioFlamingo3Processor, tokenizer)


def glm_asr(tokenizer: Any) -> tuple[Any, Any]:
    """GLM-ASR."""
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
        text_config={"model_type": "llama", **text_sizes(tokenizer)},
        audio_token_id=audio_id(tokenizer),
    )
    return config, _processor(GlmAsrProcessor, tokenizer)


def qwen3_asr(tokenizer: Any) -> tuple[Any, Any]:
    """Qwen3-ASR."""
    from transformers import Qwen3ASRConfig, Qwen3ASRFeatureExtractor, Qwen3ASRProcessor

    config = Qwen3ASRConfig(
        audio_config={
            "model_type": "qwen3_asr_encoder",
            **whisper_sizes(),
            "output_dim": WIDTH,
            "downsample_hidden_size": 8,
        },
        text_config={"model_type": "qwen3", **text_sizes(tokenizer, head_dim=8)},
        audio_token_id=audio_id(tokenizer),
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=0,
    )
    ears = Qwen3ASRFeatureExtractor(feature_size=MELS)
    return config, Qwen3ASRProcessor(ears, tokenizer, chat_template=AUDIO_TEMPLATE)


def music_flamingo(tokenizer: Any) -> tuple[Any, Any]:
    """Music Flamingo."""
    from transformers import MusicFlamingoConfig, MusicFlamingoProcessor

    marks = {key: MARKS[key] for key in ("audio_token", "audio_bos_token", "audio_eos_token")}
    config = MusicFlamingoConfig(
        audio_config=_flamingo_tower(),
        text_config={"model_type": "qwen2", **text_sizes(tokenizer)},
        **{f"{key}_id": tokenizer.convert_tokens_to_ids(mark) for key, mark in marks.items()},
    )
    return config, MusicFlamingoProcessor(whisper_ears(), tokenizer, chat_template=AUDIO_TEMPLATE, **marks)


def fun_asr_nano(tokenizer: Any) -> tuple[Any, Any]:
    """Fun-ASR-Nano."""
    from transformers import FunAsrNanoConfig, FunAsrNanoProcessor

    from rba.testing.stand_ins import fun_asr_ears

    config = FunAsrNanoConfig(
        audio_config={
            "model_type": "fun_asr_nano_encoder",
            "num_mel_bins": MELS,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_timestamp_prediction_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
        },
        adaptor_config={
            "hidden_size": WIDTH,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": WIDTH // 4,
            "projector_hidden_size": 16,
        },
        text_config={"model_type": "qwen3", **text_sizes(tokenizer, head_dim=8)},
        audio_token_id=audio_id(tokenizer),
    )
    marks = {"chat_template": AUDIO_TEMPLATE, "audio_token": MARKS["audio_token"]}
    return config, FunAsrNanoProcessor(fun_asr_ears(MELS), tokenizer, **marks)


def granite_speech(tokenizer: Any, kind: str = "GraniteSpeech", **encoder: Any) -> tuple[Any, Any]:
    """Granite Speech, or the `kind` that goes on from it, with more of an `encoder`."""
    import transformers

    from rba.testing.stand_ins import granite_ears

    config = getattr(transformers, f"{kind}Config")(
        text_config={"model_type": "granite", **text_sizes(tokenizer)},
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
        audio_token_index=audio_id(tokenizer),
        has_lora_adapter=False,
    )
    processor = transformers.GraniteSpeechProcessor(granite_ears(MELS), tokenizer, chat_template=AUDIO_TEMPLATE)
    return config, processor


def granite_speech_plus(tokenizer: Any) -> tuple[Any, Any]:
    """Granite Speech plus."""
    return granite_speech(tokenizer, "GraniteSpeechPlus", cat_hidden_layers=[1])


def voxtral(tokenizer: Any) -> tuple[Any, Any]:
    """Voxtral, with a tokenizer of its own."""
    from transformers import VoxtralConfig

    from rba.models.voxtral import VoxtralTurns
    from rba.testing.tekken import tiny_tekken_tokenizer

    tekken = tiny_tekken_tokenizer()
    processor = VoxtralTurns(whisper_ears(), tekken)
    config = VoxtralConfig(
        audio_config={"model_type": "voxtral_encoder", **whisper_sizes(), "encoder_ffn_dim": 64},
        text_config={"model_type": "llama", **text_sizes(tekken, head_dim=8)},
        audio_token_id=tekken.convert_tokens_to_ids(processor.audio_token),
    )
    return config, processor


def ultravox(tokenizer: Any) -> tuple[Any, Any]:
    """Ultravox, around an LLM whose head is its table of embeddings."""
    from rba.models.ultravox_model import UltravoxConfig
    from rba.models.ultravox_turns import UltravoxTurns, ears

    config = UltravoxConfig(
        audio_config={"model_type": "whisper", **whisper_sizes()},
        text_config={"model_type": "llama", **text_sizes(tokenizer, tie_word_embeddings=True)},
        audio_token_index=audio_id(tokenizer),
        hidden_size=64,
        projector_ln_mid=True,
    )
    return config, UltravoxTurns(ears(config.audio_config), tokenizer, config.stack_factor)


def desta(tokenizer: Any) -> tuple[Any, Any]:
    """DeSTA2.5-Audio, whose Whisper writes with the LLM's own tokenizer."""
    from rba.models.desta_model import DestaConfig
    from rba.models.desta_turns import AUDIO_TOKEN, DestaTurns

    processor = DestaTurns(whisper_ears(), tokenizer, tiny_audio_tokenizer(), rows=5)
    writing = {
        **{"vocab_size": len(processor.scribe), "decoder_layers": 1, "decoder_attention_heads": 2},
        **{"decoder_ffn_dim": 32, "max_target_positions": 16, "decoder_start_token_id": 1},
        **{"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "suppress_tokens": None},
        **{"begin_suppress_tokens": None},
    }
    config = DestaConfig(
        prompt_size=5,
        llm_config={"model_type": "llama", **text_sizes(tokenizer)},
        encoder_config={"model_type": "whisper", **whisper_sizes(), **writing, "encoder_layers": 4},
        audio_token_index=tokenizer.convert_tokens_to_ids(AUDIO_TOKEN),
    )
    return config, processor


BEATS_SIZES = {
    **{"embed_dim": 8, "encoder_layers": 2, "encoder_embed_dim": 12, "encoder_ffn_embed_dim": 24},
    **{"encoder_attention_heads": 2, "conv_pos": 8, "conv_pos_groups": 2, "num_buckets": 32, "max_distance": 80},
}
"""Of BEATs, by the names in the `cfg` of a publisher's file."""


def salmonn(tokenizer: Any) -> tuple[Any, Any]:
    """SALMONN."""
    from rba.models.beats import BeatsConfig
    from rba.models.salmonn_model import SalmonnConfig
    from rba.models.salmonn_turns import AUDIO_TOKEN, SalmonnTurns

    config = SalmonnConfig(
        llm_config={"model_type": "llama", **text_sizes(tokenizer)},
        encoder_config={"model_type": "whisper", **whisper_sizes()},
        beats_config=BeatsConfig(**BEATS_SIZES),
        qformer_config={"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32},
    )
    processor = SalmonnTurns(whisper_ears(), tokenizer, config.rows)
    config.audio_token_index = tokenizer.convert_tokens_to_ids(AUDIO_TOKEN)
    return config, processor
