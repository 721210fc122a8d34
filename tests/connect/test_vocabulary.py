"""What a connector may read, and how rare words are spelled with it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rba.connect.vocabulary import SpeechVocabulary, build_vocabulary

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def tokenizer(weights):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(weights("smollm2-135m-instruct"))


@pytest.fixture(scope="module")
def vocabulary(tokenizer):
    texts = ["What is the capital of France?"] * 5 + ["Who was Rumpelstiltskin?"]
    return build_vocabulary(tokenizer, texts, min_count=3)


def test_frequent_tokens_stay_whole(tokenizer, vocabulary):
    assert vocabulary.encode("What is the capital?") == tokenizer("What is the capital?")["input_ids"]


def test_rare_words_are_spelled_with_shorter_pieces(tokenizer, vocabulary):
    ids = vocabulary.encode("Who was Rumpelstiltskin?")
    assert set(ids) <= set(vocabulary.ids)
    assert tokenizer.decode(ids) == "Who was Rumpelstiltskin?"
    assert len(ids) > len(tokenizer("Who was Rumpelstiltskin?")["input_ids"])


def test_special_tokens_are_never_heard(tokenizer, vocabulary):
    assert not set(vocabulary.ids) & set(tokenizer.all_special_ids)


@settings(deadline=None, max_examples=60)
@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=60))
def test_any_ascii_text_can_be_written(tokenizer, vocabulary, text):
    assert tokenizer.decode(vocabulary.encode(text), clean_up_tokenization_spaces=False) == text


def test_longest_piece_first():
    class Letters:
        def convert_ids_to_tokens(self, ids):
            table = {0: "a", 1: "b", 2: "ab", 3: "abab"}
            return [table[i] for i in ids] if isinstance(ids, list) else table[ids]

        def __call__(self, text, add_special_tokens):
            return {"input_ids": [3]}

    assert SpeechVocabulary(Letters(), [0, 1, 2]).encode("abab") == [2, 2]
