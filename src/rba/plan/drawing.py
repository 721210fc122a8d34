"""Passes of a decoder: drawing answers, and reading them."""

from __future__ import annotations

import math

from rba.lm.flops import Decoder, Work, shared_work
from rba.plan.item import Pass


def drawing(decoder: Decoder, count: float, prompt: int, new: int, batch: int, group: int = 1) -> tuple[Pass, ...]:
    """Draw `count` answers of `new` tokens, `group` to a prompt: prompts pass at once, then token by token.

    A step of a batch reads the weights once, and the keys and values that its rows have by then, half way on average.
    """
    prompts, rows = count / group, min(batch, math.ceil(count))
    if not count:
        return ()
    first = decoder.forward(shared_work([prompt], [()])) + decoder.head(Work(0, 0, 1))
    whole = decoder.decoding([prompt], [[new] * group])
    steps = math.ceil(count / batch) * (new - 1)
    read = decoder.read(rows * (prompt + new // 2))
    return Pass(prompts * first, 0.0, "read"), Pass(max(0.0, prompts * (whole - first)), steps * read, "draw")


def reading(
    decoder: Decoder, count: float, prompt: int, answer: int, head: bool = True, group: int = 1
) -> tuple[Pass, ...]:
    """Pass `count` answers, `group` to a prompt that passes once, with the logits of the answers if `head`."""
    work = shared_work([prompt], [[answer] * group])
    return (Pass(count / group * (decoder.forward(work) + (decoder.head(work) if head else 0)), 0.0, "read"),)
