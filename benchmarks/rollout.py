"""Tokens a second of a group's rollout, against `model.generate(num_return_sequences=G)` of transformers.

    python benchmarks/rollout.py [--groups 4 8] [--tokens 64] [--utterances 16] [--rounds 5] [--tiny]

Both draw from the same LLM, at temperature 1 from the whole vocabulary, and every answer is `--tokens` long; with
`--ends` an answer ends where the model ends it, and tokens after its end do not count. First the distributions are
compared: both paths' logits at every step of the same answers must lie as near to each other as their precision lets
them, which the float32 model tells. Prints medians of interleaved rounds, the floor, and last the smallest ratio.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from unittest.mock import patch

from rba import runtime

runtime.prepare()  # before torch is imported

import plain
import speech
import torch
from floor import decoding_floor
from timing import Machine, interleaved, probe_size, probes

from rba.lm.flops import Decoder
from rba.lm.generation import generate
from rba.lm.load import TextLM
from rba.lm.sampling import Sampling, draw
from rba.lm.scoring import response_logits

OURS, THEIRS = "rba", "transformers"
NOISE = 1e-6  # nats a token: what float32 itself leaves


class Forced:
    """A logits processor that writes down what it is given and lets only the given tokens [B, S] be drawn."""

    def __init__(self, tokens_BS: torch.Tensor):
        self.tokens_BS, self.seen = tokens_BS, list[torch.Tensor]()

    def __call__(self, input_ids: torch.Tensor, scores_BV: torch.Tensor) -> torch.Tensor:
        """Minus infinity everywhere but at this step's token."""
        token_B1 = self.tokens_BS[:, len(self.seen), None]
        self.seen.append(scores_BV.float().clone())
        return torch.full_like(scores_BV, -torch.inf).scatter_(1, token_B1, 0.0)


def step_logits(
    lm: TextLM, prompts: Sequence[torch.Tensor], group: int, tokens: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits [answers, steps, V] of our rollout, of transformers' on the same tokens, and of the model in float32."""
    lm, prompts = replace(lm, end_ids=[]), sorted(prompts, key=len)
    sampling, written = Sampling(max_new_tokens=tokens), list[torch.Tensor]()

    def write(logits_BV: torch.Tensor, uniform_B: torch.Tensor, how: Sampling) -> torch.Tensor:
        written.append(logits_BV.float().clone())  # the next step may be written over it
        return draw(logits_BV, uniform_B, how)

    count = len(prompts) * group
    with patch("rba.lm.generation.draw", write):
        answers = generate(lm, prompts, sampling, range(seed, seed + count), group, batch_size=count)
    ids = [answer.ids for row in answers for answer in row]
    forced = Forced(torch.tensor(ids, device=lm.device))
    drawn = plain.sample(lm, prompts, sampling, group, logits_processor=[forced])
    if drawn.tolist() != ids:
        raise SystemExit("transformers did not follow the forced tokens: the logits cannot be compared")
    exact = copy.deepcopy(lm.model).float()
    repeated = [prompt.float() for prompt in prompts for _ in range(group)]
    with torch.no_grad():
        rows = response_logits(exact, repeated, ids)
    return torch.stack(written, 1), torch.stack(forced.seen, 1), torch.stack(rows)


def kl(from_BSV: torch.Tensor, to_BSV: torch.Tensor) -> float:
    """The mean KL divergence of two sets of next-token distributions, nats a token."""
    p, q = from_BSV.double().log_softmax(-1), to_BSV.double().log_softmax(-1)
    return float((p.exp() * (p - q)).sum(-1).mean())


def compare_distributions(lm: TextLM, prompts: Sequence[torch.Tensor], tokens: int, seed: int) -> str:
    """One line on how near both distributions are. Ends the program if precision does not explain how far."""
    wanted = {"output_scores": True, "output_logits": True, "return_dict_in_generate": True}
    bare = plain.sample(lm, prompts[:1], Sampling(max_new_tokens=1), **wanted)
    if not torch.equal(bare.scores[0], bare.logits[0]):
        raise SystemExit("transformers does not draw from the model's own distribution")
    ours, theirs, exact = step_logits(lm, prompts, 2, tokens, seed)
    apart, own, other = kl(ours, theirs), kl(exact, ours), kl(exact, theirs)
    line = f"KL, nats a token: {apart:.1e} between both; from float32 to ours {own:.1e}, to transformers' {other:.1e}"
    if apart > 2 * (own + other) + NOISE or own > 2 * other + NOISE:
        raise SystemExit(f"the distributions differ: {line}")
    return f"distributions over {ours.shape[0] * ours.shape[1]} steps: {line}"


def compare_speed(lm: TextLM, prompts: Sequence[torch.Tensor], group: int, args: argparse.Namespace) -> float:
    """Time both rollouts and print what was measured; the ratio of tokens a second."""
    lm = lm if args.ends else replace(lm, end_ids=[])
    sampling = Sampling(max_new_tokens=args.tokens)
    seeds = range(args.seed, args.seed + len(prompts) * group)
    lengths: dict[str, list[int]] = {}

    def ours() -> None:
        answers = generate(lm, prompts, sampling, seeds, group, args.batch)
        lengths[OURS] = [len(answer.ids) for row in answers for answer in row]

    def theirs() -> None:
        torch.manual_seed(args.seed)
        rows = plain.sample(lm, prompts, sampling, group).tolist()
        lengths[THEIRS] = [len(plain.trim(lm, row)) for row in rows]

    size = probe_size(lm.device, args.tiny)
    times = interleaved({OURS: ours, THEIRS: theirs, **probes(lm.device, size)}, args.rounds)
    machine, decoder = Machine.of(times, size), Decoder.of(lm.model)
    rates = {name: [sum(lengths[name]) / s for s in times[name]] for name in (OURS, THEIRS)}
    ratio = median(a / b for a, b in zip(rates[OURS], rates[THEIRS]))
    answers = [lengths[OURS][i : i + group] for i in range(0, len(lengths[OURS]), group)]
    widths = [len(prompt) for prompt in prompts]
    floor = decoding_floor(decoder, machine, widths, answers)
    flops = decoder.decoding(widths, answers) / machine.flops
    print(f"\nG = {group}: {len(prompts)} prompts of {min(widths)} to {max(widths)} rows. {machine}")
    for name in (OURS, THEIRS):
        seconds, rate = median(times[name]), median(rates[name])
        print(f"  {name}: {rate:.0f} tokens/s, {sum(lengths[name])} tokens in {seconds:.3f} s")
    print(
        f"  floor: {floor:.3f} s, {floor / median(times[OURS]):.0%} of our time "
        f"(the products alone {flops:.3f} s; the rest is reading, where it takes longer)"
    )
    print(f"  G = {group} ratio {ratio:.2f}")
    return ratio


def main() -> None:
    """Compare distributions, then speed for each group size."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--groups", type=int, nargs="+", default=[4, 8], help="answers to each utterance")
    parser.add_argument("--tokens", type=int, default=64, help="the length of an answer")
    parser.add_argument("--utterances", type=int, default=16, help="an even number up to 16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=128, help="answers that we draw at once; transformers draws all")
    parser.add_argument("--ends", action="store_true", help="let the model end its answers")
    parser.add_argument("--model", default="shipped", help="a SpeechLM checkpoint, or random:NAME")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tiny", action="store_true", help="a random model made in memory: shows that it works")
    args = parser.parse_args()
    speechlm = speech.open_model(args.model, args.tiny)
    prompts = speech.prompts(speechlm, speech.utterances(args.utterances // 2, 2, args.tiny))
    print(compare_distributions(speechlm.lm, prompts[:4], min(24, args.tokens), args.seed))
    ratios = [compare_speed(speechlm.lm, prompts, group, args) for group in args.groups]
    print(f"ratio: {min(ratios):.2f}")


if __name__ == "__main__":
    main()
