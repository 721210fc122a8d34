"""A tokenizer in the manner of SentencePiece, and one whose tokens are no pieces of text."""

from __future__ import annotations

from typing import Any

from rba.testing.tiny_lm import spelled


def sentencepiece(words: tuple[str, ...] = ("\u2581hello", "\u2581you")) -> Any:
    """Llama 2's kind: a mark for spaces, one before the text, bytes for what has no token; `words` are whole tokens."""
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    mark = "\u2581"
    letters = [mark, *(chr(i) for i in range(0x21, 0x7F))]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    merges = spelled(words)
    tokens += [left + right for left, right in merges]
    core = Tokenizer(
        models.BPE({token: i for i, token in enumerate(tokens)}, merges, unk_token="<unk>", byte_fallback=True)
    )
    core.normalizer = normalizers.Sequence([normalizers.Prepend(mark), normalizers.Replace(" ", mark)])
    core.decoder = decoders.Sequence(
        [decoders.Replace(mark, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def wordpiece() -> Any:
    """BERT's kind: spaces are lost."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordPiece({"[UNK]": 0, "hello": 1, "##s": 2}, unk_token="[UNK]"))
    core.pre_tokenizer, core.decoder = pre_tokenizers.Whitespace(), decoders.WordPiece()
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]", eos_token="[UNK]")
