"""The seconds that drawing answers takes at least: whichever binds, products or what has to be read."""

from __future__ import annotations

from collections.abc import Sequence

from timing import Machine

from rba.lm.flops import Decoder, Work, shared_work


def decoding_floor(
    decoder: Decoder, machine: Machine, prompts: Sequence[int], answers: Sequence[Sequence[int]]
) -> float:
    """Seconds that drawing answers of these lengths takes at least, in one batch.

    Each prompt passes once, its keys are read once a step for all its answers, and ended answers cost nothing.
    """
    prefill = shared_work(prompts, [() for _ in prompts])
    logits = decoder.head(Work(0, 0, len(prompts)))
    seconds = machine.floor(decoder.forward(prefill) + logits, decoder.read(0))
    for step in range(1, max(map(max, answers))):
        alive = [(prompt, sum(n > step for n in lengths)) for prompt, lengths in zip(prompts, answers)]
        rows = sum(count for _, count in alive)
        work = Work(rows, sum((prompt + step) * count for prompt, count in alive), rows)
        kept = sum(prompt for prompt, count in alive if count) + step * rows
        seconds += machine.floor(decoder.forward(work) + decoder.head(work), decoder.read(kept))
    return seconds
