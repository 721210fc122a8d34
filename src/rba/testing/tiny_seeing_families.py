"""Tiny configurations and real processors of audio LMs that also see, each made with a tokenizer."""

from __future__ import annotations

from typing import Any

from rba.testing.tiny_audio_parts import (
    AUDIO_TEMPLATE,
    BOUNDS,
    KINDS,
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

EYES = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": WIDTH}


def omni(tokenizer: Any) -> tuple[Any, Any]:
    """the thinker of Qwen2.5-Omni."""
    from transformers import Qwen2_5OmniProcessor, Qwen2_5OmniThinkerConfig

    from rba.models.processors import without_eyes

    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    make: Any = Qwen2_5OmniThinkerConfig  # it reads tokens that it does not declare
    config = make(
        audio_config={**whisper_sizes(), "output_dim": WIDTH},
        vision_config={**EYES, "fullatt_block_indexes": [0]},
        text_config=text_sizes(tokenizer, rope_parameters=rope),
        audio_token_index=audio_id(tokenizer),
        image_token_index=tokenizer.convert_tokens_to_ids(MARKS["image_token"]),
        video_token_index=tokenizer.convert_tokens_to_ids(MARKS["video_token"]),
        audio_start_token_id=tokenizer.convert_tokens_to_ids(MARKS["audio_bos_token"]),
        audio_end_token_id=tokenizer.convert_tokens_to_ids(MARKS["audio_eos_token"]),
        vision_start_token_id=tokenizer.convert_tokens_to_ids(MARKS["vision_bos_token"]),
        vision_end_token_id=tokenizer.convert_tokens_to_ids(MARKS["vision_eos_token"]),
    )
    return config, without_eyes(Qwen2_5OmniProcessor, whisper_ears(), tokenizer, AUDIO_TEMPLATE)


def omni3(tokenizer: Any) -> tuple[Any, Any]:
    """the thinker of Qwen3-Omni."""
    from transformers import Qwen3OmniMoeProcessor, Qwen3OmniMoeThinkerConfig

    from rba.models.processors import without_eyes

    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    make: Any = Qwen3OmniMoeThinkerConfig  # it reads a token that it does not declare
    config = make(
        audio_config={**whisper_sizes(), "output_dim": WIDTH, "downsample_hidden_size": 8},
        vision_config={**EYES, "num_position_embeddings": 4, "deepstack_visual_indexes": [0]},
        text_config=text_sizes(tokenizer, rope_parameters=rope, **experts),
        **{f"{kind}_token_id": tokenizer.convert_tokens_to_ids(MARKS[f"{kind}_token"]) for kind in KINDS},
        audio_start_token_id=tokenizer.convert_tokens_to_ids(MARKS["audio_bos_token"]),
        vision_start_token_id=tokenizer.convert_tokens_to_ids(MARKS["vision_bos_token"]),
    )
    return config, without_eyes(Qwen3OmniMoeProcessor, whisper_ears(), tokenizer, AUDIO_TEMPLATE)


def phi4(tokenizer: Any) -> tuple[Any, Any]:
    """Phi-4-multimodal."""
    from transformers import Phi4MultimodalConfig, Phi4MultimodalFeatureExtractor, Phi4MultimodalProcessor

    from rba.models.processors import without_eyes

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
            "audio_token_id": audio_id(tokenizer),
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
        **text_sizes(tokenizer),
    )
    ears = Phi4MultimodalFeatureExtractor(feature_size=MELS)
    return config, without_eyes(Phi4MultimodalProcessor, ears, tokenizer, AUDIO_TEMPLATE)


def gemma4(_: Any) -> tuple[Any, Any]:
    """Gemma 4, with a tokenizer of its own."""
    from transformers import Gemma4AudioFeatureExtractor, Gemma4Config, Gemma4Processor

    from rba.models.processors import without_eyes

    tokenizer = tiny_audio_tokenizer(**BOUNDS)
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
            **text_sizes(tokenizer),
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
        **{f"{kind}_token_id": tokenizer.convert_tokens_to_ids(MARKS[f"{kind}_token"]) for kind in KINDS},
    )
    ears = Gemma4AudioFeatureExtractor(feature_size=MELS)
    return config, without_eyes(Gemma4Processor, ears, tokenizer, AUDIO_TEMPLATE)


def gemma3n(_: Any) -> tuple[Any, Any]:
    """Gemma 3n, with a tokenizer of its own: its last letters pass for tokens of images, its marks are of audio."""
    from transformers import Gemma3nAudioFeatureExtractor, Gemma3nConfig, Gemma3nProcessor

    from rba.models.processors import without_eyes

    tokenizer = tiny_audio_tokenizer(**BOUNDS)
    first, spare = min(tokenizer.convert_tokens_to_ids([*MARKS.values(), *BOUNDS.values()])), 4
    rows = 7 * SECONDS
    sounds, sights = len(tokenizer) + spare - first, 8
    config = Gemma3nConfig(
        audio_config={
            "vocab_size": sounds,
            "vocab_offset": first,
            "input_feat_size": MELS,
            "hidden_size": 16,
            "conf_num_attention_heads": 2,
            "conf_num_hidden_layers": 1,
            "sscp_conv_channel_size": [8, 4],
        },
        vision_config={"hidden_size": 16, "vocab_size": sights, "vocab_offset": first - sights},
        text_config={
            **text_sizes(tokenizer),
            "vocab_size": first + sounds,
            "num_hidden_layers": 4,
            "head_dim": 8,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
            "sliding_window": 24,
            "num_kv_shared_layers": 2,
            "laurel_rank": 4,
            "altup_correct_scale": False,  # which is 0 before training and lets no token id through
            "activation_sparsity_pattern": [0.6, 0.6, 0.0, 0.0],
            "hidden_size_per_layer_input": 4,
            "vocab_size_per_layer_input": first - sights,
            "final_logit_softcapping": 5.0,
        },
        audio_soft_tokens_per_image=rows,
        **{f"{kind}_token_id": tokenizer.convert_tokens_to_ids(MARKS[f"{kind}_token"]) for kind in ("audio", "image")},
        **{f"{mark}_id": tokenizer.convert_tokens_to_ids(token) for mark, token in BOUNDS.items()},
    )
    ears = Gemma3nAudioFeatureExtractor(feature_size=MELS)
    return config, without_eyes(Gemma3nProcessor, ears, tokenizer, AUDIO_TEMPLATE, audio_seq_length=rows)


def gemma4_unified(_: Any) -> tuple[Any, Any]:
    """Gemma 4 Unified, with a tokenizer of its own."""
    from transformers import Gemma4UnifiedAudioFeatureExtractor, Gemma4UnifiedConfig, Gemma4UnifiedProcessor

    from rba.models.processors import without_eyes

    tokenizer = tiny_audio_tokenizer(**BOUNDS)
    config = Gemma4UnifiedConfig(
        audio_config={},
        vision_config=None,
        text_config={
            **text_sizes(tokenizer),
            "head_dim": 8,
            "layer_types": ["sliding_attention", "full_attention"],
            "sliding_window": 24,
            "final_logit_softcapping": 5.0,
        },
        **{f"{kind}_token_id": tokenizer.convert_tokens_to_ids(MARKS[f"{kind}_token"]) for kind in KINDS},
    )
    ears = Gemma4UnifiedAudioFeatureExtractor()
    return config, without_eyes(Gemma4UnifiedProcessor, ears, tokenizer, AUDIO_TEMPLATE)


def nemotron_omni(tokenizer: Any) -> tuple[Any, Any]:
    """Nemotron 3 Omni, of one block of each kind."""
    from transformers import (
        NemotronH_Omni_Reasoning_V3_Config,
        NemotronH_Omni_Reasoning_V3Processor,
        ParakeetFeatureExtractor,
    )

    from rba.models.processors import without_eyes

    sizes = {key: value for key, value in text_sizes(tokenizer).items() if key != "num_hidden_layers"}
    config = NemotronH_Omni_Reasoning_V3_Config(
        audio_config={
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "subsampling_conv_channels": 4,
            "num_mel_bins": MELS,
            "projection_hidden_size": 16,
            "projection_bias": False,
        },
        vision_config={
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "video_temporal_patch_size": 2,
        },
        vision_hidden_size=16,
        projector_hidden_size=16,
        text_config={
            "model_type": "nemotron_h",
            **sizes,
            "layers_block_type": ["linear_attention", "moe", "full_attention", "mlp"],
            "head_dim": 8,
            "ssm_state_size": 8,
            "time_step_min": 1e-7,  # a floor that transformers knows where it reads, and not where it writes
            "mamba_num_heads": 8,
            "mamba_head_dim": 8,
            "n_groups": 2,
            "n_routed_experts": 4,
            "moe_intermediate_size": 16,
            "moe_shared_expert_intermediate_size": 16,
        },
        **{f"{kind}_token_id": tokenizer.convert_tokens_to_ids(MARKS[f"{kind}_token"]) for kind in KINDS},
    )
    ears = ParakeetFeatureExtractor(feature_size=MELS)
    return config, without_eyes(NemotronH_Omni_Reasoning_V3Processor, ears, tokenizer, AUDIO_TEMPLATE)
