"""Where the clips of a prompt differ in length, some families' own forward pass hears pads: in which places.

With all of its places mended a family hears what rba does, which encodes each clip by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import torch
from releases import each_of_several
from torch import nn

from rba.lm.scoring import response_logits
from rba.models.bridge import part
from rba.testing.tiny_audio_lm import BUILDERS, tiny_audio_lm
from rba.testing.tiny_utterances import tiny_wave

ANSWER = [60, 61, 62, 63, 64, 2]
PAIRS = [[tiny_wave(0, seconds), tiny_wave(1, 1.0)] for seconds in (0.5, 0.53)]
EIGHTHS = [tiny_wave(0, 0.48), tiny_wave(1, 1.0)]
"""Of which the first has 48 frames: those of a whole number of rows of Nemotron 3 Omni."""
ALONE = ("audioflamingo3", "glmasr", "musicflamingo", "qwen3_asr", "fun_asr_nano")  # one clip a prompt

Inputs = dict[str, torch.Tensor]
Place = Callable[[ExitStack, Any, Inputs, Sequence[Inputs]], None]
"""Mends one place of a model, until the stack is left: given its inputs for all clips and for each clip alone."""


def silent(rows: torch.Tensor, steps: Sequence[int], dim: int) -> torch.Tensor:
    """The same with zeros behind so many steps of each clip."""
    at = torch.arange(rows.shape[dim]).view([-1 if axis == dim else 1 for axis in range(rows.ndim)])
    return rows * (at < torch.tensor(steps).view([-1] + [1] * (rows.ndim - 1)))


def silent_after(stack: ExitStack, module: nn.Module, steps: Sequence[int], dim: int) -> None:
    hook = module.register_forward_hook(lambda module, args, made: silent(made, steps, dim))
    stack.callback(hook.remove)


def silent_before(stack: ExitStack, module: nn.Module, steps: Sequence[int], dim: int) -> None:
    hook = module.register_forward_pre_hook(lambda module, args: (silent(args[0], steps, dim), *args[1:]))
    stack.callback(hook.remove)


def halves(steps: Sequence[int]) -> list[int]:
    """How many steps a convolution of stride 2 makes of so many."""
    return [-(-count // 2) for count in steps]


def as_alone(name: str) -> Place:
    """An input as the processor makes it of each clip alone, zeros behind it."""

    def mend(stack: ExitStack, speechlm: Any, inputs: Inputs, alone: Sequence[Inputs]) -> None:
        inputs[name] = torch.zeros_like(inputs[name])
        for row, made in zip(inputs[name], alone):
            row[tuple(map(slice, made[name][0].shape))] = made[name][0]

    mend.__doc__ = f"The processor's `{name}`."
    return mend


def steps_of(alone: Sequence[Inputs], name: str = "input_features", dim: int = 1) -> list[int]:
    return [made[name].shape[dim] for made in alone]


def granite_attention(stack: ExitStack, speechlm: Any, inputs: Inputs, alone: Sequence[Inputs]) -> None:
    """The encoder's attention, which takes no mask."""

    def by_clip(module: Any, args: tuple[torch.Tensor, ...], kwargs: Any, made: torch.Tensor) -> torch.Tensor:
        for number, count in enumerate(steps_of(alone)):
            made[number, :count] = module.forward(args[0][number : number + 1, :count], **kwargs)[0]
        return made

    for layer in part(speechlm.core, "model.encoder").layers:
        stack.callback(layer.attn.register_forward_hook(by_clip, with_kwargs=True).remove)


def granite_convolutions(stack: ExitStack, speechlm: Any, inputs: Inputs, alone: Sequence[Inputs]) -> None:
    """The encoder's convolutions over time."""
    for layer in part(speechlm.core, "model.encoder").layers:
        silent_before(stack, layer.conv.depth_conv, steps_of(alone), 2)


def granite_windows(stack: ExitStack, speechlm: Any, inputs: Inputs, alone: Sequence[Inputs]) -> None:
    """The projector's last window, which zeros fill up where there are no pads."""
    silent_before(stack, speechlm.projector, steps_of(alone), 1)


def ultravox_convolutions(stack: ExitStack, speechlm: Any, inputs: Inputs, alone: Sequence[Inputs]) -> None:
    """The tower's second convolution, where the clip's frames are odd."""
    silent_after(stack, speechlm.core.audio_tower.conv1, inputs["frames"].tolist(), 2)


def ultravox_stacks(stack: ExitStack, speechlm: Any, inputs: Inputs, alone: Sequence[Inputs]) -> None:
    """The last stack of states, which zeros fill up where there are no pads."""
    silent_after(stack, speechlm.core.audio_tower.layer_norm, halves(inputs["frames"].tolist()), 1)


def omni3_convolutions(stack: ExitStack, speechlm: Any, inputs: Inputs, alone: Sequence[Inputs]) -> None:
    """The tower's convolutions over a chunk of up to a second, which is as long as the prompt's longest."""
    tower, frames = part(speechlm.core, "model.audio_tower"), steps_of(alone, dim=2)
    silent_after(stack, tower.conv2d1, halves(frames), 3)
    silent_after(stack, tower.conv2d2, halves(halves(frames)), 3)


def phi_convolutions(stack: ExitStack, speechlm: Any, inputs: Inputs, alone: Sequence[Inputs]) -> None:
    """The convolutions in front of the encoder."""
    layers, frames = phi_encoder(speechlm).embed.conv, steps_of(alone, "audio_input_features")
    silent_after(stack, layers[0], halves(frames), 2)
    silent_after(stack, layers[3], halves(halves(frames)), 2)


def phi_attention(stack: ExitStack, speechlm: Any, inputs: Inputs, alone: Sequence[Inputs]) -> None:
    """The encoder's attention, whose mask of true and false is added to its scores as 1 and 0."""
    steps = torch.tensor(halves(halves(halves(steps_of(alone, "audio_input_features")))))

    def masked(module: Any, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        pads = torch.arange(args[1].shape[-1]) >= steps[:, None]
        return args[0], args[1].masked_fill(pads[:, None, None], float("-inf"))

    for layer in phi_encoder(speechlm).encoders:
        stack.callback(layer.register_forward_pre_hook(masked).remove)


def phi_encoder(speechlm: Any) -> Any:
    return part(speechlm.core, speechlm.family.tower)


def nemotron_attention(stack: ExitStack, speechlm: Any, inputs: Inputs, alone: Sequence[Inputs]) -> None:
    """The encoder's attention of a clip's last row, where its mask leaves that one out: the mean of all rows."""
    steps = halves(halves(halves(steps_of(alone))))

    def by_clip(module: Any, args: tuple[torch.Tensor, ...], kwargs: dict[str, Any], made: Any) -> Any:
        mixed, weights = made
        places, mask = kwargs["position_embeddings"], kwargs["attention_mask"]
        middle = places.shape[1] // 2  # where the distance is 0
        for number, count in enumerate(steps):
            rows = kwargs["hidden_states"][number : number + 1, :count]
            near = places[:, middle - count + 1 : middle + count]
            mixed[number, :count] = module.forward(rows, near, mask[number : number + 1, :, :count, :count])[0][0]
        return mixed, weights

    for layer in speechlm.core.audio_tower.layers:
        stack.callback(layer.self_attn.register_forward_hook(by_clip, with_kwargs=True).remove)


GRANITE = [as_alone("input_features"), granite_attention, granite_convolutions, granite_windows]
PLACES: dict[str, list[Place]] = {
    "granite_speech": GRANITE,
    "granite_speech_plus": GRANITE,
    "ultravox": [ultravox_convolutions, ultravox_stacks],
    "qwen3_omni_moe_thinker": [as_alone("input_features"), omni3_convolutions],
    "phi4_multimodal": [phi_convolutions, phi_attention],
    # its mask goes on for the frames that begin in the clip and end in the pads; its first convolutions look ahead
    "gemma3n": [as_alone("input_features_mask"), as_alone("input_features")],
    "nemotron_h_omni": [nemotron_attention],
}
MASKED = [name for name in BUILDERS if name not in (*PLACES, *ALONE)]


def apart(speechlm: Any, waves: list[np.ndarray], places: Sequence[Place]) -> float:
    """How far rba's log-probs are from those of the model's own forward pass with some places mended."""
    (prompt,) = speechlm.prompts([speechlm.encode(waves)])
    (found,) = response_logits(speechlm.lm.model, [prompt], [ANSWER])
    inputs = speechlm.inputs(waves)
    assert inputs["input_ids"].shape[1] == len(prompt)
    inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([ANSWER])], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    with ExitStack() as stack:
        for mend in places:
            mend(stack, speechlm, inputs, [speechlm.inputs(wave) for wave in waves])
        own = speechlm.core(**inputs).logits[0, len(prompt) - 1 : -1]
    return float((found.log_softmax(-1) - own.log_softmax(-1))[torch.arange(len(ANSWER)), ANSWER].abs().max())


@torch.no_grad()
@pytest.mark.parametrize("family", each_of_several(PLACES))
def test_pads_are_heard_in_these_places_and_in_no_other(family: str):
    speechlm, places = tiny_audio_lm(family), PLACES[family]
    pairs = [*PAIRS, EIGHTHS, PAIRS[0][::-1]]
    assert max(apart(speechlm, waves, []) for waves in pairs) > 0.01
    assert max(apart(speechlm, waves, places) for waves in pairs) < 1e-5
    for place in places:
        others = [other for other in places if other is not place]
        assert max(apart(speechlm, waves, others) for waves in pairs) > 1e-4, place.__doc__


@torch.no_grad()
@pytest.mark.parametrize("family", each_of_several(MASKED))
def test_the_other_families_hear_no_pads(family: str):
    speechlm = tiny_audio_lm(family)
    assert max(apart(speechlm, waves, []) for waves in [*PAIRS, EIGHTHS, PAIRS[0][::-1]]) < 1e-5
