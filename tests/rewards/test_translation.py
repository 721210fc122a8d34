"""BLEU and chrF against sacrebleu called by hand."""

import pytest
import sacrebleu

from rba.rewards.reward import load_reward
from rba.rewards.translation import Bleu, Chrf

PAIRS = [
    ("Der Hund schläft auf dem Sofa.", "Der Hund schläft auf dem alten Sofa."),
    ("Ja.", "Ja, gern."),
    ("Etwas ganz anderes", "Der Hund schläft."),
    ("", "Der Hund schläft."),
]


def test_bleu_is_sacrebleus_sentence_bleu_with_effective_order():
    answers, references = zip(*PAIRS)
    expected = [sacrebleu.sentence_bleu(a, [r], use_effective_order=True).score / 100 for a, r in PAIRS]
    assert Bleu()(["q"] * 4, answers, reference=references) == pytest.approx(expected)


def test_chrf_is_sacrebleus_sentence_chrf():
    answers, references = zip(*PAIRS)
    expected = [sacrebleu.sentence_chrf(a, [r]).score / 100 for a, r in PAIRS]
    assert Chrf()(["q"] * 4, answers, reference=references) == pytest.approx(expected)


def test_an_echo_is_perfect_and_a_blank_reference_gives_no_value():
    text = "我喜欢喝茶和咖啡。"
    reward = load_reward("bleu-zh + bleu-char + chrf")
    assert reward(["q"], [text], reference=[text]) == pytest.approx([3])
    for metric in (Bleu(), Chrf()):
        assert metric(["q"], ["x"], reference=[" "]) == [None]


def test_chinese_without_its_tokeniser_is_one_word():
    answer, reference = ["我喜欢喝茶"], ["我喜欢喝咖啡"]
    assert Bleu()(["q"], answer, reference=reference) == [0]
    assert Bleu("zh")(["q"], answer, reference=reference)[0] > 0.3


def test_signatures_say_how_it_was_computed():
    found = load_reward("bleu-zh + chrf + recall").signatures
    assert found.keys() == {"bleu-zh", "chrf"}
    assert "tok:zh" in found["bleu-zh"] and "eff:yes" in found["bleu-zh"] and "nrefs:1" in found["bleu-zh"]
    assert f"version:{sacrebleu.__version__}" in found["chrf"]
