"""What tokens say, and the classes in which two vocabularies compare."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lm.two_tokenizers import sentencepiece, wordpiece

from rba.lm.vocabulary import NOTHING, first_pieces, shared_classes, token_bytes
from rba.testing.tiny_lm import tiny_tokenizer

PLAIN, WORDS, PIECES = tiny_tokenizer(), tiny_tokenizer(["hello", "help", "you"]), sentencepiece()


def ids_of(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=20))
def test_the_bytes_of_a_texts_tokens_are_its_own(text: str):
    text = text.encode("utf-8", "ignore").decode()
    for tokenizer, lead in ((PLAIN, b""), (WORDS, b""), (PIECES, b" ")):
        said = token_bytes(tokenizer)
        # SentencePiece has one character for a space and for the mark that stands for it
        written = b"".join(said[i] for i in ids_of(tokenizer, text)).replace("\u2581".encode(), b" ")
        assert written in (
            text.encode().replace("\u2581".encode(), b" "),
            lead + text.encode().replace("\u2581".encode(), b" "),
        )


def test_special_tokens_say_nothing():
    said = token_bytes(PLAIN)
    assert len(said) == 259
    assert said[:3] == [b"", b"", b""]
    assert sorted(said[3:]) == [bytes([byte]) for byte in range(256)]


def test_tokens_that_are_no_pieces_of_text_say_nothing_at_all():
    assert token_bytes(wordpiece()) == []


def test_a_text_begins_with_the_token_that_the_other_writes_it_with():
    plain, words = token_bytes(PLAIN), token_bytes(WORDS)
    first = first_pieces(PLAIN, plain, words)
    (hello,) = ids_of(WORDS, "hello")
    assert plain[first[hello]] == b"h"
    back = first_pieces(WORDS, words, plain)
    assert all(words[j] == plain[i] for i, j in enumerate(back.tolist()) if j != NOTHING)
    assert back[:3].tolist() == [NOTHING] * 3


def test_half_a_character_begins_with_the_same_bytes():
    assert first_pieces(PLAIN, token_bytes(PLAIN), ["\u4f60".encode()[:2]]).tolist() == ids_of(PLAIN, "\u4f60")[:1]


def test_a_word_of_one_vocabulary_shares_a_class_with_its_first_piece_in_the_other():
    classes = shared_classes(PLAIN, [2], WORDS, [2])
    (hello,), (h,), (e,) = ids_of(WORDS, "hello"), ids_of(PLAIN, "h"), ids_of(PLAIN, "e")
    assert classes.other_V[hello] == classes.own_V[h] != classes.own_V[e]
    assert classes.own_V[2] == classes.other_V[2] > 0  # the ends of turns are one
    assert classes.own_V[:2].tolist() == classes.other_V[:2].tolist() == [0, 0]
    # each byte, the end, and what only one of them has
    assert classes.count == 256 + 1 + 1


@pytest.mark.parametrize("other", [PLAIN, WORDS, PIECES], ids=["same", "words", "sentencepiece"])
def test_masses_are_a_distribution(other):
    classes = shared_classes(PLAIN, [2], other, [2])
    for width, is_other in ((len(PLAIN), False), (len(other), True), (len(other) + 5, True)):
        logp = torch.randn(3, width, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
        masses = classes.masses(logp, other=is_other)
        assert masses.shape == (3, classes.count)
        torch.testing.assert_close(masses.exp().sum(-1), torch.ones(3))


def test_a_class_has_the_mass_of_its_tokens_and_hands_them_its_gradient():
    classes = shared_classes(WORDS, [2], PLAIN, [2])
    logits = torch.randn(1, len(WORDS), generator=torch.Generator().manual_seed(0)).requires_grad_()
    logp = logits.log_softmax(-1)
    h = classes.own_V[ids_of(WORDS, "h")[0]]
    members = (classes.own_V == h).nonzero()[:, 0]
    said = token_bytes(WORDS)
    assert {said[i] for i in members} == {b"h", b"he", b"hel", b"hell", b"hello", b"help"}
    mass = classes.masses(logp)[0, h]
    torch.testing.assert_close(mass, logp[0, members].logsumexp(0))
    (found,) = torch.autograd.grad(mass, logits, retain_graph=True)
    (plain,) = torch.autograd.grad(logp[0, members].logsumexp(0), logits)
    torch.testing.assert_close(found, plain)
