"""The files that SALMONN is published in: pickles of its trained weights and of BEATs, by the names used here."""

from __future__ import annotations

import re
from typing import Any

import torch

from rba.errors import ModelError
from rba.models.beats import BeatsConfig
from rba.models.own_layout import CHOOSE, Weights

BEATS, LLM = "ears.beats", "llama_model"
UNUSED = re.compile(
    r"speech_Qformer[.](cls[.]|bert[.]embeddings[.](position|word))"
    r"|speech_Qformer[.]bert[.]encoder[.]layer[.]\d+[.](intermediate|output)[.]"
    r"|.*[.]inv_freq$"
)
"""Weights that a checkpoint may hold and its publisher's code does not use, and tables that follow from the sizes."""
NAMES = {
    r"^(ln_speech|ln_audio|speech_encoder|beats)\b": r"ears.\1",
    r"^speech_query_tokens$": "connector.query_tokens",
    r"^speech_llama_proj\b": "connector.proj",
    r"^speech_Qformer[.]bert[.]embeddings[.]LayerNorm\b": "connector.qformer.layernorm",
    r"^speech_Qformer[.]bert\b": "connector.qformer",
    r"(attention)[.]self\b": r"\1.attention",
    r"^llama_model[.]base_model[.]model\b": LLM,
}
"""Patterns of published names, and what takes their place."""
FORM = {
    "activation_fn": "gelu",
    "conv_bias": False,
    "deep_norm": True,
    "gru_rel_pos": True,
    "layer_norm_first": False,
    "relative_position_embedding": True,
}
"""What the `cfg` of every published BEATs says of its form."""


def read_checkpoint(path: str) -> tuple[Weights, Weights]:
    """The weights that a checkpoint's file holds, and those of the adapter of its LLM; both by the names used here.

    Raises KeyError, OSError, RuntimeError or UnpicklingError for what is no such file.
    """
    held: dict[str, Weights] = {"plain": {}, "lora": {}}
    for key, weight in _pickled(path)["model"].items():
        if not UNUSED.match(key):
            held["lora" if ".lora_" in key else "plain"][_named(key)] = weight
    whole = held["plain"]
    heard = {name: whole.pop(name) for name in [*whole] if name.startswith(f"{BEATS}.")}
    named = beats_weights({name.removeprefix(f"{BEATS}."): weight for name, weight in heard.items()})
    return whole | {f"{BEATS}.{name}": weight for name, weight in named.items()}, held["lora"]


def read_beats(path: str) -> tuple[BeatsConfig, Weights]:
    """The sizes and weights of a file of BEATs. Raises ModelError for one of another form, and as `read_checkpoint`."""
    pickled = _pickled(path)
    said: dict[str, Any] = pickled["cfg"]
    if other := [key for key, value in FORM.items() if said.get(key, value) != value]:
        raise ModelError(f"this BEATs is of a form that rba does not know: {other[0]} {said[other[0]]}", path, CHOOSE)
    sizes = BeatsConfig()
    return BeatsConfig(**{key: said[key] for key in sizes.to_dict() if key in said}), beats_weights(pickled["model"])


def beats_weights(state: Weights) -> Weights:
    """A published BEATs' weights by the names used here: what predicts labels left out, the convolution whole.

    All layers hold the same table of distances; the first one's is taken. The convolution is kept as directions and a
    length for each of its steps.
    """
    made = {key: weight for key, weight in state.items() if not re.match("predictor[.]|.*relative_attention_bias", key)}
    first, conv = "encoder.layers.0.self_attn.relative_attention_bias.weight", "encoder.pos_conv.0.weight"
    if first in state:
        made["encoder.relative_attention_bias.weight"] = state[first]
    if f"{conv}_v" in made:
        made[conv] = torch._weight_norm(made.pop(f"{conv}_v"), made.pop(f"{conv}_g"), 2)
    return made


def merge(llm: Any, adapter: Weights, alpha: float, source: str) -> None:
    """Add an adapter's products to the weights of the LLM that it stands on, rounded to their precision.

    A product is that of a pair of matrices, times `alpha` by the rank. Raises ModelError, naming the model `source`,
    for no adapter, half a pair, and one that was made for another LLM.
    """
    if not adapter:
        raise ModelError("ckpt of its config.json holds no adapter of the LLM", source, CHOOSE)
    weights = dict(llm.named_parameters())
    for pair in dict.fromkeys(re.sub("lora_[AB]", "lora_{}", name) for name in adapter):
        if lacking := [name for name in map(pair.format, "AB") if name not in adapter]:
            raise ModelError(f"the adapter of ckpt lacks {lacking[0]}", source, CHOOSE)
        down, up = (adapter[pair.format(half)].float() for half in "AB")
        name = f"{pair.removeprefix(f'{LLM}.').partition('.lora_{}.')[0]}.weight"
        weight = weights.get(name)
        if weight is None or weight.shape != (len(up), down.shape[1]) or up.shape[1] != len(down):
            sizes = "none" if weight is None else " x ".join(map(str, weight.shape))
            what = f"{name} is {len(up)} x {down.shape[1]} there, {sizes} here"
            fix = "name the base model that it was trained on"
            raise ModelError(f"the adapter of ckpt does not fit llama_path: {what}", source, fix)
        weight.data.copy_(weight.data.float() + alpha / len(down) * (up @ down))


def _named(key: str) -> str:
    for pattern, name in NAMES.items():
        key = re.sub(pattern, name, key)
    return key


def _pickled(path: str) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)
