"""Audio LMs of transformers as SpeechLMs: opened from a folder of their real class, trained, saved, opened again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from releases import each

from rba.alignment.policy import Policy, Query
from rba.alignment.settings import AlignSettings
from rba.chat import ask
from rba.errors import ModelError
from rba.lm import chat
from rba.lm.generation import generate
from rba.lm.sampling import Sampling
from rba.lm.scorer import keeps_everything, score
from rba.lm.scoring import response_logits, token_logprobs
from rba.models import turns
from rba.models.adapters import adapter_parameters, add_lora, reference
from rba.models.audio_lm import AudioLM
from rba.models.families import is_published
from rba.models.load import load_speechlm
from rba.testing.tiny_audio_lm import BUILDERS, NOT_SHARED, save_tiny_audio_lm, tiny_audio_lm
from rba.testing.tiny_utterances import tiny_wave

ANSWERS = [[40, 41, 42, 2], [50, 2], [60, 61, 62, 63, 64, 2]]
WAVES = [tiny_wave(0), tiny_wave(1, 1.0)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Qwen2-Audio with tiny random weights as transformers saves it, its processor included."""
    return save_tiny_audio_lm(tmp_path_factory.mktemp("audio-lm") / "qwen2-audio")


@pytest.fixture
def speechlm(folder: Path) -> AudioLM:
    """A freshly opened one."""
    model = load_speechlm(folder, "float32")
    assert isinstance(model, AudioLM)
    return model


def adapted(speechlm: AudioLM) -> AudioLM:
    """With an adapter that does something."""
    add_lora(speechlm, 4, 8, seed=1)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in adapter_parameters(speechlm):
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator).to(parameter)
    return speechlm


def test_log_probs_are_those_of_the_models_own_forward_pass(speechlm: AudioLM):
    for wave, answer in zip(WAVES, ANSWERS):
        prompt = speechlm.prompts(speechlm.encode([wave]))[0]
        inputs = speechlm.inputs(wave)
        assert len(prompt) == inputs["input_ids"].shape[1]
        inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([answer]).to(inputs["input_ids"])], 1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        own = speechlm.core(**inputs).logits[0, len(prompt) - 1 : -1].log_softmax(-1)[range(len(answer)), answer]
        torch.testing.assert_close(score(speechlm.lm, [prompt], [answer], 512)[0], own, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", each(name for name in BUILDERS if name not in NOT_SHARED))
def test_shared_prompts_give_the_log_probs_and_gradients_of_the_plain_path(family: str):
    speechlm = adapted(tiny_audio_lm(family))
    assert keeps_everything(speechlm.lm)  # else nothing is shared
    features, answers = speechlm.encode(WAVES), [*ANSWERS, *ANSWERS[:2]]
    trained = [*adapter_parameters(speechlm), *speechlm.connector_parameters()]
    found = []
    for score_all in (
        lambda prompts: score(speechlm.lm, prompts, answers, 512),
        lambda prompts: token_logprobs(speechlm.lm.model, prompts, answers),
    ):
        for parameter in trained:
            parameter.requires_grad_(True).grad = None
        one, two = speechlm.prompts(features)
        logp = torch.cat(score_all([one, two, one, two, one]))
        (logp * torch.arange(1.0, len(logp) + 1, device=logp.device)).sum().backward()
        found.append((logp.detach(), torch.cat([p.grad.flatten() for p in trained if p.grad is not None])))
    (logp, gradient), (plain_logp, plain_gradient) = found
    torch.testing.assert_close(logp, plain_logp, atol=1e-5, rtol=0)
    torch.testing.assert_close(gradient, plain_gradient, atol=1e-3, rtol=1e-4)
    assert float(plain_gradient.abs().max()) > 1


def test_another_clip_gives_other_log_probs_and_the_same_clip_the_same(speechlm: AudioLM):
    one, other, again = speechlm.prompts(speechlm.encode([WAVES[0], tiny_wave(2), WAVES[0]]))
    logp = score(speechlm.lm, [one, other, again], [ANSWERS[0]] * 3, 512)
    assert (logp[0] - logp[1]).abs().mean() > 0.1
    torch.testing.assert_close(logp[0], logp[2], atol=1e-5, rtol=0)


def test_greedy_answers_are_the_argmax_of_scoring(speechlm: AudioLM):
    prompts = speechlm.prompts(speechlm.encode(WAVES))
    answers = generate(speechlm.lm, prompts, Sampling(temperature=0.0, max_new_tokens=8), [0, 1])
    for prompt, (answer,) in zip(prompts, answers):
        (logits,) = response_logits(speechlm.lm.model, [prompt], [answer.ids])
        assert logits.argmax(-1).tolist() == answer.ids


def test_a_training_step_teaches_the_end_of_the_turn(speechlm: AudioLM):
    end = speechlm.lm.end_ids[0]
    assert end == turns.turn_end(speechlm.lm.tokenizer) == speechlm.lm.tokenizer.convert_tokens_to_ids("<|im_end|>")
    answer = chat.response_ids(speechlm.lm.tokenizer, "hi", end)
    features = speechlm.encode(WAVES[:1])
    add_lora(speechlm, 4, 8, seed=1)
    projector = list(speechlm.connector_parameters())
    trained = [*adapter_parameters(speechlm), *projector]
    for parameter in trained:
        parameter.requires_grad_(True)
    policy = Policy(speechlm, AlignSettings(train_connector=True, dtype="float32"))
    optimiser = torch.optim.AdamW(trained, lr=1e-2)
    ends = []
    for _ in range(6):
        (logp,) = policy(Query(features, [], [0], [answer], features=True)).logp
        ends.append(float(logp[-1].detach()))
        (-logp.sum()).backward()
        optimiser.step()
        optimiser.zero_grad()
    assert ends[-1] > ends[0] + 0.5
    others = [n for n, p in policy.named_parameters() if p.requires_grad and "lora_" not in n]
    assert others and all("multi_modal_projector" in name for name in others)


def test_adapters_stay_inside_the_llm(speechlm: AudioLM):
    add_lora(speechlm, 4, 8, seed=1)
    names = [n for n, _ in speechlm.lm.model.named_parameters() if "lora_" in n]
    assert names and all(".language_model." in name for name in names)
    kinds = {name.split(".lora_")[0].rsplit(".")[-1] for name in names}
    assert kinds == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


@pytest.mark.parametrize("targets", [["q_proj", "v_proj"], r".*language_model.*[.](q|v)_proj"])
def test_targets_of_ones_own(speechlm: AudioLM, targets: Any):
    add_lora(speechlm, 4, 8, targets=targets, seed=1)
    names = [n for n, _ in speechlm.lm.model.named_parameters() if "lora_" in n]
    assert {name.split(".lora_")[0].rsplit(".")[-1] for name in names} == {"q_proj", "v_proj"}
    assert all(".language_model." in name for name in names)


def test_without_its_adapter_it_is_its_own_reference(speechlm: AudioLM):
    prompts = speechlm.prompts(speechlm.encode(WAVES[:1]))
    before = score(speechlm.lm, prompts, ANSWERS[:1], 512)[0]
    adapted(speechlm)
    assert (score(speechlm.lm, prompts, ANSWERS[:1], 512)[0].detach() - before).abs().max() > 0.1
    with reference(speechlm):
        torch.testing.assert_close(score(speechlm.lm, prompts, ANSWERS[:1], 512)[0], before)


def test_what_is_saved_opens_with_the_same_log_probs(speechlm: AudioLM, folder: Path, tmp_path: Path):
    adapted(speechlm)
    with torch.no_grad():
        for parameter in speechlm.connector_parameters():
            parameter += 0.1
    speechlm.save(tmp_path / "aligned")
    facts = json.loads((tmp_path / "aligned" / "speechlm.json").read_text())
    assert facts == {"family": "qwen2_audio", "model": str(folder), "adapter": True}
    again = load_speechlm(tmp_path / "aligned", "float32")
    found = [torch.cat(score(m.lm, m.prompts(m.encode(WAVES)), ANSWERS[:2], 512)).detach() for m in (speechlm, again)]
    assert torch.equal(found[0], found[1])
    base = load_speechlm(folder, "float32").connector_parameters()
    assert all(not torch.equal(old, new) for old, new in zip(base, again.connector_parameters()))


def test_system_turns_stand_in_spoken_and_typed_prompts_alike(speechlm: AudioLM):
    features = speechlm.encode(WAVES[:1])
    (spoken,), (typed,) = speechlm.prompts(features, "Be brief."), speechlm.text_prompts(["hello"], "Be brief.")
    start = speechlm.lm.embed(speechlm.lm.tokenizer("<|im_start|>system\nBe brief.<|im_end|>")["input_ids"])
    assert torch.equal(spoken[: len(start)], start)
    assert torch.equal(typed[: len(start)], start)
    assert len(spoken) > len(speechlm.prompts(features)[0])


def test_nothing_is_read_off_the_speech_before_the_answer(speechlm: AudioLM):
    features = speechlm.encode(WAVES)
    prompts, words = speechlm.listen(features)
    assert words is None
    assert all(torch.equal(a, b) for a, b in zip(prompts, speechlm.prompts(features)))


def test_an_aligned_model_whose_projector_does_not_fit_is_refused(speechlm: AudioLM, tmp_path: Path):
    from safetensors.torch import save_file

    speechlm.save(tmp_path / "aligned")
    save_file({"linear.weight": torch.zeros(2, 2)}, tmp_path / "aligned" / "projector.safetensors")
    with pytest.raises(ModelError, match="projector does not fit"):
        load_speechlm(tmp_path / "aligned", "float32")


def test_a_model_of_another_kind_is_refused_with_the_families_named(tmp_path: Path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ModelError, match=r'model_type is "llama".*qwen2_audio'):
        load_speechlm(tmp_path)


def test_a_model_with_an_adapter_of_its_own_is_refused(tmp_path: Path):
    folder = save_tiny_audio_lm(tmp_path)
    model = adapted(tiny_audio_lm())
    model.lm.model.peft_config["default"].base_model_name_or_path = str(folder)
    model.lm.model.save_pretrained(folder)
    with pytest.raises(ModelError, match="carries an adapter of its own"):
        load_speechlm(folder, "float32")


def test_a_question_is_answered_and_no_transcript_made_up(speechlm: AudioLM):
    sampling = Sampling(temperature=0.0, max_new_tokens=8)
    spoken, other = (ask(speechlm, wave, sampling=sampling) for wave in WAVES)
    assert spoken.heard == "" and spoken.text != other.text
    assert ask(speechlm, text="hello", sampling=sampling).heard == "hello"


def test_a_template_without_a_place_for_audio_is_refused():
    model = tiny_audio_lm()
    model.lm.tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}{% endfor %}"
    with pytest.raises(ModelError, match="no place for audio"):
        turns.render(model.lm.tokenizer, turns.AUDIO, None, "<|audio|>")


@pytest.mark.parametrize(
    ("name", "published"), [("Qwen/Qwen2-Audio-7B-Instruct", True), ("shipped", False), ("runs/x/final/sft", False)]
)
def test_hub_ids_are_told_from_folders_and_names(name: str, published: bool):
    assert is_published(name) == published


def test_a_folder_of_transformers_is_told_from_a_checkpoint(folder: Path, speechlm: AudioLM, tmp_path: Path):
    speechlm.save(tmp_path / "aligned")
    assert is_published(folder) and not is_published(tmp_path / "aligned")


def test_end_tokens_of_the_template_come_before_those_of_the_tokenizer():
    model = tiny_audio_lm()
    tokenizer = model.lm.tokenizer
    tokenizer.eos_token = "<|endoftext|>"
    assert turns.end_ids(tokenizer, model.core) == [2, 0]
    tokenizer.chat_template = tokenizer.chat_template.replace("<|im_end|>", "")
    assert turns.end_ids(tokenizer, model.core) == [0, 2]
