"""What tokens say, and the classes in which two vocabularies compare."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lm.two_tokenizers import sentencepiece, wordpiece

from rba.lm.vocabulary import NOTHING, first_pieces, read_vocabulary, shared_classes
from rba.testing.tiny_lm import tiny_tokenizer

MARK = "\u2581"
PLAIN, WORDS, PIECES = (
    read_vocabulary(tokenizer, [2])
    for tokenizer in (tiny_tokenizer(), tiny_tokenizer(["hello", "help", "you"]), sentencepiece())
)


def ids_of(vocabulary, text: str) -> list[int]:
    return vocabulary.tokenizer(text, add_special_tokens=False)["input_ids"]


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=20))
def test_the_bytes_of_a_texts_tokens_are_its_own(text: str):
    # SentencePiece has one character for a space and for the mark that stands for it
    text = text.encode("utf-8", "ignore").decode().replace(MARK, " ")
    for vocabulary in (PLAIN, WORDS, PIECES):
        written = b"".join(map(vocabulary.said, ids_of(vocabulary, text)))
        assert written == (b" " if vocabulary.leads and text else b"") + text.encode()


def test_only_sentencepiece_writes_a_space_before_a_text():
    assert [vocabulary.leads for vocabulary in (PLAIN, WORDS, PIECES)] == [False, False, True]


def test_special_tokens_ends_and_unknown_ids_say_nothing():
    assert len(PLAIN.table) == 259
    assert [PLAIN.said(i) for i in (0, 1, 2, 259, 5000)] == [b""] * 5
    assert sorted(PLAIN.table[3:]) == [bytes([byte]) for byte in range(256)]


def test_an_end_that_is_no_special_token_says_nothing():
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["<|end|>"])
    assert read_vocabulary(tokenizer, [2]).said(259) == b"<|end|>"
    assert read_vocabulary(tokenizer, [259, 2, 5000]).said(259) == b""
    assert read_vocabulary(tokenizer, [259, 2, 5000]).ends == [259, 2]


def test_an_added_token_of_sentencepiece_has_its_spaces():
    tokenizer = sentencepiece()
    tokenizer.add_tokens([2 * MARK])
    assert read_vocabulary(tokenizer, [2]).table[-1] == b"  "


def test_a_vocabulary_may_have_holes():
    tokenizer = sentencepiece()
    known = tokenizer.get_vocab()
    tokenizer.get_vocab = lambda: {**known, "zz": 900}
    table = read_vocabulary(tokenizer, []).table
    assert (len(table), table[900], table[899]) == (901, b"zz", b"")


def test_what_looks_like_a_special_token_is_spelled():
    assert 2 not in PLAIN.write("a <|im_end|> b")
    assert b"".join(map(PLAIN.said, PLAIN.write("a <|im_end|> b"))) == b"a <|im_end|> b"


def test_tokens_that_are_no_pieces_of_text_are_no_vocabulary():
    assert read_vocabulary(wordpiece(), []) is None


def test_a_text_begins_with_the_token_that_the_other_writes_it_with():
    assert first_pieces(PLAIN, [b"hello", b"h", b""]).tolist() == [*ids_of(PLAIN, "h") * 2, NOTHING]
    assert first_pieces(WORDS, [b"hello", b"hello you", b"jello"]).tolist() == [
        *ids_of(WORDS, "hello") * 2,
        *ids_of(WORDS, "j"),
    ]


def test_half_a_character_begins_with_the_same_bytes():
    assert first_pieces(PLAIN, ["\u4f60".encode()[:2]]).tolist() == ids_of(PLAIN, "\u4f60")[:1]


def test_a_word_of_one_vocabulary_shares_a_class_with_its_first_piece_in_the_other():
    classes = shared_classes(PLAIN, WORDS)
    (hello,), (h,), (e,) = ids_of(WORDS, "hello"), ids_of(PLAIN, "h"), ids_of(PLAIN, "e")
    assert classes.other_V[hello] == classes.own_V[h] != classes.own_V[e]
    assert classes.own_V[2] == classes.other_V[2] > 0  # the ends of turns are one
    assert classes.own_V[:2].tolist() == classes.other_V[:2].tolist() == [0, 0]
    # each byte, the end, and what only one of them has
    assert classes.count == 256 + 1 + 1


@pytest.mark.parametrize("other", [PLAIN, WORDS, PIECES], ids=["same", "words", "sentencepiece"])
def test_masses_are_a_distribution(other):
    classes = shared_classes(PLAIN, other)
    width = len(other.table)
    for columns, is_other in ((len(PLAIN.table), False), (width, True), (width + 5, True)):
        logp = torch.randn(3, columns, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
        masses = classes.masses(logp, other=is_other)
        assert masses.shape == (3, classes.count)
        torch.testing.assert_close(masses.exp().sum(-1), torch.ones(3))


def test_a_class_has_the_mass_of_its_tokens_and_hands_them_its_gradient():
    classes = shared_classes(WORDS, PLAIN)
    logits = torch.randn(1, len(WORDS.table), generator=torch.Generator().manual_seed(0)).requires_grad_()
    logp = logits.log_softmax(-1)
    h = classes.own_V[ids_of(WORDS, "h")[0]]
    members = (classes.own_V == h).nonzero()[:, 0]
    assert {WORDS.said(i) for i in members} == {b"h", b"he", b"hel", b"hell", b"hello", b"help"}
    mass = classes.masses(logp)[0, h]
    torch.testing.assert_close(mass, logp[0, members].logsumexp(0))
    (found,) = torch.autograd.grad(mass, logits, retain_graph=True)
    (plain,) = torch.autograd.grad(logp[0, members].logsumexp(0), logits)
    torch.testing.assert_close(found, plain)


def test_a_class_that_is_all_but_impossible_still_pulls():
    classes = shared_classes(PLAIN, PLAIN)
    logits = torch.zeros(1, len(PLAIN.table))
    logits[0, 10] = 40.0
    logits.requires_grad_()
    (-classes.masses(logits.log_softmax(-1))[0, classes.own_V[20]]).backward()
    torch.testing.assert_close(logits.grad[0, [10, 20]], torch.tensor([1.0, -1.0]))
