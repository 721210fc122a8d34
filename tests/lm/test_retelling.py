"""One answer in the tokens of two models."""

from __future__ import annotations

from dataclasses import replace

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lm.two_tokenizers import sentencepiece

from rba.lm import chat
from rba.lm.retelling import Chunk, Reteller
from rba.lm.vocabulary import read_vocabulary, shared_classes
from rba.testing.tiny_lm import tiny_tokenizer

PLAIN, WORDS, PIECES = tiny_tokenizer(), tiny_tokenizer(["hello", "you"]), sentencepiece()
END = 2
texts = st.text(st.sampled_from("helo you\u00e9\U0001f600?"), max_size=12)


def retell(own, other, ids):
    return Reteller(read_vocabulary(own, [END]), read_vocabulary(other, [END]))(ids)


def test_the_same_tokens_are_told_as_they_are():
    ids = chat.response_ids(WORDS, "hello you", END)
    told = retell(WORDS, WORDS, ids)
    assert told.ids == tuple(ids)
    assert told.chunks == tuple(Chunk(i, i + 1, i, i + 1) for i in range(len(ids)))
    assert told.comparable == tuple(range(len(ids)))


def test_a_word_that_is_spelled_is_one_chunk():
    told = retell(PLAIN, WORDS, chat.response_ids(PLAIN, "hello you", END))
    assert told.ids == tuple(chat.response_ids(WORDS, "hello you", END))
    assert told.chunks == (Chunk(0, 5, 0, 1), Chunk(5, 6, 1, 2), Chunk(6, 9, 2, 3), Chunk(9, 10, 3, 4))


@settings(deadline=None, max_examples=60)
@given(texts, st.booleans(), st.sampled_from([(PLAIN, WORDS), (WORDS, PLAIN), (WORDS, PIECES), (PIECES, WORDS)]))
def test_chunks_tile_both_and_say_the_same(text: str, ended: bool, both):
    own, other = both
    ids = chat.response_ids(own, text, END if ended else None)
    told = retell(own, other, ids)
    assert other.decode(told.ids, skip_special_tokens=True) == text
    assert (told.ids[-1:] == (END,)) == ended
    at = other_at = 0
    own_bytes, other_bytes = read_vocabulary(own, [END]).table, read_vocabulary(other, [END]).table
    for chunk in told.chunks:
        assert (chunk.start, chunk.other_start) == (at, other_at)
        at, other_at = chunk.stop, chunk.other_stop
        said, written = (
            b"".join(table[i] for i in row[a:b])
            for table, row, a, b in (
                (own_bytes, ids, chunk.start, chunk.stop),
                (other_bytes, told.ids, chunk.other_start, chunk.other_stop),
            )
        )
        assert said == written or (not chunk.start and said.strip() == written.strip())
    assert (at, other_at) == (len(ids), len(told.ids))


def test_tokens_within_a_word_of_the_other_are_not_at_a_break():
    told = retell(PLAIN, WORDS, chat.response_ids(PLAIN, "hello", None))
    assert [told.chunks[i].start for i in told.comparable] == [0]


def test_a_space_that_only_one_writes_before_the_text_makes_the_beginning_incomparable():
    told = retell(PLAIN, PIECES, chat.response_ids(PLAIN, "hello you", END))
    assert told.chunks[0] == Chunk(0, 5, 0, 1)
    assert told.comparable == (1, 2)
    again = retell(PIECES, PIECES, chat.response_ids(PIECES, "hello you", END))
    assert again.comparable == (0, 1, 2)


def test_half_a_character_at_the_end_is_left_out():
    ids = chat.response_ids(PLAIN, "you\u00e9", None)[:-1]
    told = retell(PLAIN, WORDS, ids)
    assert told.ids == tuple(chat.response_ids(WORDS, "you", None))
    assert told.chunks == (Chunk(0, 3, 0, 1), Chunk(3, 4, 1, 1))
    assert told.comparable == (0,)


def test_nothing_after_half_a_character_is_told():
    letters = {text: PLAIN(text, add_special_tokens=False)["input_ids"] for text in ("a", "\u00e9", "bcd")}
    ids = [*letters["a"], letters["\u00e9"][0], *letters["bcd"], END]
    told = retell(PLAIN, PLAIN, ids)
    assert told.ids == tuple(letters["a"])
    assert told.chunks == (Chunk(0, 1, 0, 1), Chunk(1, 5, 1, 1), Chunk(5, 6, 1, 1))
    assert told.comparable == (0,)
    spread = told.spread(torch.tensor([-2.0]))
    assert spread[0] == -2.0 and spread[1:].isnan().all()


def test_an_answer_that_cannot_be_told_at_all_is_empty():
    half = PLAIN("\u00e9", add_special_tokens=False)["input_ids"][:1]
    told = retell(PLAIN, WORDS, half)
    assert (told.ids, told.chunks, told.comparable) == ((), (Chunk(0, 1, 0, 0),), ())
    assert told.spread(torch.zeros(0)).isnan().all()


def test_ids_that_the_tokenizer_does_not_know_say_nothing():
    told = retell(PLAIN, WORDS, [*chat.response_ids(PLAIN, "you", None), 5000, END])
    assert told.chunks == (Chunk(0, 4, 0, 1), Chunk(4, 5, 1, 2))


def test_the_name_of_a_special_token_is_spelled():
    ids = chat.response_ids(PLAIN, "x", None) + [PLAIN.get_vocab()[c] for c in "<|im_end|>"]
    told = retell(PLAIN, WORDS, [*ids, END])
    assert told.ids.count(END) == 1 and len(told.chunks) == len(ids) + 1


def test_a_break_at_which_the_two_go_on_with_tokens_of_different_classes_is_left_out():
    own, other = (read_vocabulary(tiny_tokenizer(words), [END]) for words in (["hello"], ["lo", "hel"]))
    classes = shared_classes(own, other)
    crossed = replace(classes, own_V=classes.own_V.clone())
    ids = chat.response_ids(own.tokenizer, "hel?", END)
    crossed.own_V[ids[0]] = 0
    assert Reteller(own, other, classes)(ids).comparable == (0, 1, 2)
    assert Reteller(own, other, crossed)(ids).comparable == (1, 2)


def test_a_text_that_the_other_normalises_is_one_chunk():
    from tokenizers import normalizers

    other = tiny_tokenizer()
    other.backend_tokenizer.normalizer = normalizers.Lowercase()
    told = retell(PLAIN, other, chat.response_ids(PLAIN, "You", END))
    assert told.chunks == (Chunk(0, 3, 0, 3), Chunk(3, 4, 3, 4))


def test_log_probs_are_spread_with_the_same_sum():
    ids = chat.response_ids(PLAIN, "hello you", END)
    told = retell(PLAIN, WORDS, ids)
    spread = told.spread(torch.tensor([-5.0, -1.0, -6.0, -0.5]))
    torch.testing.assert_close(spread, torch.tensor([-1.0] * 5 + [-1.0] + [-2.0] * 3 + [-0.5]))


def test_an_answer_that_says_nothing_has_its_end():
    assert retell(PLAIN, WORDS, [END]).chunks == (Chunk(0, 1, 0, 1),)
