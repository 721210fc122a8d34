"""ArmoRM's head against its equations written out, one dialogue at a time."""

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaModel

from rba.lm.armorm import last_occurrence
from rba.lm.reward_model import load_reward_model
from rba.testing.tiny_lm import tiny_tokenizer
from rba.testing.tiny_reward_model import save_tiny_reward_model, tiny_reward_config

DIALOGUES = [
    ("Capital of Australia?", "Canberra."),
    ("Say hi.", "Hi, hi and hi once more!"),
    ("Why?", ""),
]


@pytest.fixture
def folder(tmp_path):
    """A tiny checkpoint in the published layout."""
    return save_tiny_reward_model(tmp_path / "armorm", kind="armorm")


def test_the_weights_have_the_names_and_shapes_of_the_published_checkpoint(folder):
    weights = load_file(folder / "model.safetensors")
    head = {name: tuple(w.shape) for name, w in weights.items() if not name.startswith("model.")}
    assert head == {
        "regression_layer.weight": (19, 32),
        "reward_transform_matrix": (19, 19),
        "gating.logit_scale": (1,),
        "gating.layers.0.weight": (16, 32),
        "gating.layers.0.bias": (16,),
        "gating.layers.1.weight": (16, 16),
        "gating.layers.1.bias": (16,),
        "gating.layers.2.weight": (16, 16),
        "gating.layers.2.bias": (16,),
        "gating.layers.3.weight": (19, 16),
        "gating.layers.3.bias": (19,),
    }
    assert {"model.embed_tokens.weight", "model.norm.weight"} <= weights.keys()
    assert "LlamaForRewardModelWithGating" in (folder / "config.json").read_text()


def test_scores_are_the_gated_sum_of_the_objectives(folder):
    weights = load_file(folder / "model.safetensors")
    llama = LlamaModel(tiny_reward_config()).eval()
    llama.load_state_dict({k.removeprefix("model."): w for k, w in weights.items() if k.startswith("model.")})
    tokenizer = tiny_tokenizer()
    expected = []
    for text, answer in DIALOGUES:
        request = f"<|im_start|>user\n{text}"
        framed = f"{request}<|im_end|>\n<|im_start|>assistant\n{answer}<|im_end|>\n"
        ids, before = (
            tokenizer(t, add_special_tokens=False, return_tensors="pt")["input_ids"] for t in (framed, request)
        )
        with torch.no_grad():
            states = llama(input_ids=ids).last_hidden_state[0]
        gate = states[before.shape[1]]
        for layer in range(3):
            gate = torch.relu(weights[f"gating.layers.{layer}.weight"] @ gate + weights[f"gating.layers.{layer}.bias"])
        logits = weights["gating.layers.3.weight"] @ gate + weights["gating.layers.3.bias"]
        shares = torch.softmax(logits / 10, 0) * weights["gating.logit_scale"]
        rewards = weights["regression_layer.weight"] @ states[-1]
        expected.append(
            float(
                sum(
                    shares[j] * sum(rewards[i] * weights["reward_transform_matrix"][i, j] for i in range(19))
                    for j in range(19)
                )
            )
        )
    texts, answers = zip(*DIALOGUES)
    assert load_reward_model(str(folder), "float32").score(texts, answers) == pytest.approx(expected, abs=1e-5)


def test_the_last_occurrence_of_a_pattern_is_found():
    assert last_occurrence([1, 2, 3, 1, 2, 4], [1, 2]) == 3
    assert last_occurrence([1, 2], [1, 2]) == 0
    with pytest.raises(ValueError, match="no assistant"):
        last_occurrence([1, 2], [2, 1])
