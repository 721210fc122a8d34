"""Reward models: the prompt they see, batches that change nothing, and checkpoints that are none."""

import json

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from rba.errors import ModelError, RecipeError
from rba.lm.reward_model import load_reward_model
from rba.rewards.model import ModelScore
from rba.rewards.reward import load_reward
from rba.testing.tiny_lm import save_tiny_lm
from rba.testing.tiny_reward_model import save_tiny_reward_model

TEXTS = ["Capital of Australia?", "Say hi.", "Tell me a story about a very old dog.", "Why?"]
ANSWERS = ["Canberra.", "Hi!", "Once upon a time there was a dog, and it was old, very old indeed.", ""]


@pytest.fixture(params=["classifier", "armorm"])
def folder(request, tmp_path):
    """A tiny reward model of either layout."""
    return save_tiny_reward_model(tmp_path / "model", kind=request.param)


def test_a_score_is_the_models_logit_for_the_dialogue_in_its_chat_frame(tmp_path):
    folder = save_tiny_reward_model(tmp_path / "model")
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    framed = "<|im_start|>user\nSay hi.<|im_end|>\n<|im_start|>assistant\nHi!<|im_end|>\n"
    expected = model(**tokenizer(framed, return_tensors="pt", add_special_tokens=False)).logits.item()
    assert load_reward_model(str(folder), "float32").score(["Say hi."], ["Hi!"]) == pytest.approx([expected], abs=1e-5)


def test_padding_and_batch_mates_change_nothing(folder):
    model = load_reward_model(str(folder), "float32")
    together = model.score(TEXTS, ANSWERS)
    alone = [model.score([text], [answer])[0] for text, answer in zip(TEXTS, ANSWERS)]
    assert together == pytest.approx(alone, abs=1e-5)
    assert len({round(value, 5) for value in together}) == len(TEXTS)
    model.batch_tokens = 1
    assert model.score(TEXTS, ANSWERS) == pytest.approx(alone, abs=1e-6)


def test_order_changes_nothing_to_the_bit(folder):
    model = load_reward_model(str(folder), "float32")
    assert model.score(TEXTS[::-1], ANSWERS[::-1]) == model.score(TEXTS, ANSWERS)[::-1]


def test_a_model_without_padding_token_is_padded_all_the_same(tmp_path):
    folder = save_tiny_reward_model(tmp_path / "model")
    with_padding = load_reward_model(str(folder), "float32").score(TEXTS, ANSWERS)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "pad_token_id": None}))
    assert load_reward_model(str(folder), "float32").score(TEXTS, ANSWERS) == pytest.approx(with_padding, abs=1e-5)


def test_an_encoder_that_classifies_is_a_reward_model_too(tmp_path):
    from transformers import BertConfig, BertForSequenceClassification

    from rba.testing.tiny_lm import tiny_tokenizer

    config = BertConfig(
        vocab_size=259, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, num_labels=1
    )
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    model = load_reward_model(str(tmp_path), "float32")
    alone = [model.score([text], [answer])[0] for text, answer in zip(TEXTS, ANSWERS)]
    assert model.score(TEXTS, ANSWERS) == pytest.approx(alone, abs=1e-5)


def test_bfloat16_is_near_float32(folder):
    exact, coarse = (load_reward_model(str(folder), dtype).score(TEXTS, ANSWERS) for dtype in ("float32", "bfloat16"))
    assert coarse == pytest.approx(exact, abs=0.2)


def test_a_model_with_several_labels_says_how_many(tmp_path):
    folder = save_tiny_reward_model(tmp_path / "model", num_labels=3)
    with pytest.raises(ModelError, match="one label, this one has 3"):
        load_reward_model(str(folder))


def test_a_model_without_chat_template_is_refused(tmp_path):
    folder = save_tiny_reward_model(tmp_path / "model")
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "chat_template"}))
    with pytest.raises(ModelError, match="no chat template"):
        load_reward_model(str(folder))


def test_a_language_model_has_no_trained_head_and_is_refused(tmp_path):
    folder = save_tiny_lm(tmp_path / "lm")
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "id2label": {"0": "reward"}}))
    with pytest.raises(ModelError, match=r"weights of the reward model lack score\.weight"):
        load_reward_model(str(folder))


@pytest.mark.parametrize("name", ["no-such-model", ""])
def test_a_missing_model_is_named(name):
    with pytest.raises(ModelError, match="the registry holds no such model"):
        load_reward_model(name)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="cannot load the reward model"):
        load_reward_model(str(tmp_path))


def test_as_a_reward_equal_answers_have_equal_values_and_no_reference_is_needed(folder):
    model = load_reward_model(str(folder), "float32")
    values = ModelScore(model)(["Say hi."] * 3, ["Hi!", "No.", "Hi!"])
    assert values[0] == values[2] != values[1]
    assert ModelScore(model)([], []) == []
    reward = load_reward("reward-model", reward_model=lambda: model)
    assert reward(["Say hi."], ["Hi!"], reference=["?"]) == pytest.approx(values[:1], abs=1e-5)


def test_the_reward_without_its_model_says_so():
    with pytest.raises(RecipeError, match="needs a reward model"):
        load_reward("reward-model")


def test_scores_need_no_gradient(folder):
    model = load_reward_model(str(folder))
    assert not any(p.requires_grad for p in model.model.parameters())
    assert torch.is_grad_enabled()
