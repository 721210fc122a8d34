"""BEATs: its layers by the formula, its published form."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from models.beats_files import Weights, published, save_beats

from rba.errors import ModelError
from rba.models.beats import Beats, BeatsConfig, bucket
from rba.models.salmonn_checkpoint import read_beats
from rba.testing.tiny_hearing_families import BEATS_SIZES


def random_beats() -> Beats:
    generator, model = torch.Generator().manual_seed(0), Beats(BeatsConfig(**BEATS_SIZES)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.4 * torch.randn(weight.shape, generator=generator))
    return model


def heard(fbank_TM: torch.Tensor, state: Weights) -> torch.Tensor:
    """One clip through BEATs by its formulas [T', F]."""

    def linear(x: torch.Tensor, at: str) -> torch.Tensor:
        return x @ state[f"{at}.weight"].T + state[f"{at}.bias"]

    def norm(x: torch.Tensor, at: str) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:], state[f"{at}.weight"], state[f"{at}.bias"])

    patches = [
        (state["patch_embedding.weight"][:, 0] * fbank_TM[t : t + 16, m : m + 16]).sum((1, 2))
        for t in range(0, len(fbank_TM) - 15, 16)
        for m in range(0, 128, 16)
    ]
    x = linear(norm(torch.stack(patches), "layer_norm"), "post_extract_proj")
    conv = F.conv1d(x.T[None], state["encoder.pos_conv.0.weight"], state["encoder.pos_conv.0.bias"], 1, 4, 1, 2)[0]
    x = norm(x + F.gelu(conv[:, : len(x)]).T, "encoder.layer_norm")
    table, kept = state["encoder.relative_attention_bias.weight"], 4**0.25
    for layer in range(2):
        at = f"encoder.layers.{layer}"
        q, k, v = (linear(x, f"{at}.self_attn.{name}_proj").chunk(2, -1) for name in "qkv")
        mixed = []
        for head in range(2):
            scores = q[head] @ k[head].T / 6**0.5
            eight = linear(q[head], f"{at}.self_attn.grep_linear")
            update, reset = eight[:, :4].sum(-1).sigmoid(), eight[:, 4:].sum(-1).sigmoid()
            gate = update * (reset * state[f"{at}.self_attn.grep_a"][0, head, 0, 0] - 1) + 2
            for i in range(len(x)):
                for j in range(len(x)):
                    scores[i, j] += gate[i] * table[number(j - i), head]
            mixed.append(scores.softmax(-1) @ v[head])
        seen = linear(torch.cat(mixed, -1), f"{at}.self_attn.out_proj")
        x = norm(kept * x + seen, f"{at}.self_attn_layer_norm")
        inner = linear(F.gelu(linear(x, f"{at}.fc1")), f"{at}.fc2")
        x = norm(kept * x + inner, f"{at}.final_layer_norm")
    return x


def number(distance: int) -> int:
    """Of 32 buckets up to a distance of 80."""
    far = abs(distance)
    wide = far if far < 8 else min(15, 8 + int(math.log(far / 8) / math.log(80 / 8) * 8))
    return 16 * (distance > 0) + wide


@torch.no_grad()
def test_it_follows_its_formulas():
    model, fbank_TM = random_beats(), torch.randn(52, 128, generator=torch.Generator().manual_seed(1))
    (found,) = model(fbank_TM[None])
    assert found.shape == (24, 12)  # of 52 frames three patches' worth
    torch.testing.assert_close(found, heard(fbank_TM, model.state_dict()), atol=1e-4, rtol=1e-4)


def test_distances_fall_into_buckets():
    distances = torch.arange(-100, 101)
    assert bucket(distances, 32, 80).tolist() == [number(int(d)) for d in distances]


def test_a_published_file_opens_as_the_same_weights(tmp_path: Path):
    state = random_beats().state_dict()
    save_beats(tmp_path / "beats.pt", published(state))
    config, found = read_beats(str(tmp_path / "beats.pt"))
    assert {key: getattr(config, key) for key in BEATS_SIZES} == BEATS_SIZES
    assert found.keys() == state.keys()
    for key in state:
        torch.testing.assert_close(found[key], state[key], atol=1e-6, rtol=1e-6)


def test_one_of_another_form_is_refused(tmp_path: Path):
    save_beats(tmp_path / "beats.pt", {}, layer_norm_first=True)
    with pytest.raises(ModelError, match="of a form that rba does not know: layer_norm_first True"):
        read_beats(str(tmp_path / "beats.pt"))
