"""Scoring and backward of a group of answers to one spoken request, against the plain path.

    python benchmarks/scoring.py [--answers 8] [--seconds 10] [--tokens 64] [--rounds 5] [--tiny]

Ours passes the speech through connector and LLM once and the answers after it; the plain path passes a whole row for
every answer through connector and LLM, and keeps all its logits. The encoder is frozen and its features are at hand
for both; with `--encoder` the plain path encodes the speech for every row too, as trainers without a memory do.
Log-probs and gradients of both must lie equally near to those of the float32 model. Prints medians of interleaved
rounds, the floor, and last the ratio.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from rba import runtime

runtime.prepare()  # before torch is imported

import numpy as np
import plain
import speech
import torch
from timing import Machine, interleaved, paired_ratio, probe_size, probes

from rba.alignment.optimizer import trained_parameters
from rba.alignment.settings import AlignSettings
from rba.data import seeds
from rba.lm.flops import Decoder, Work, row_work, shared_work
from rba.lm.generation import generate
from rba.lm.sampling import Sampling
from rba.lm.scorer import precision, score
from rba.models.adapters import add_lora
from rba.models.speechlm import SpeechLM

OURS, PLAIN = "shared prefix", "plain"
NOISE = 1e-4  # relative: what float32 itself leaves


@dataclass(frozen=True)
class Case:
    """One spoken request and its features, the answers to it with the weights of their log-probs, what is trained."""

    speechlm: SpeechLM
    wave: np.ndarray
    features: torch.Tensor
    answers: list[list[int]]
    weights: torch.Tensor
    parameters: list[torch.nn.Parameter]
    budget: int
    dtype: str

    def shared(self) -> list[torch.Tensor]:
        """Log-probs of every answer, the request passed once."""
        prompt = self.speechlm.prompts([self.features])[0]
        with precision(self.speechlm.lm, self.dtype):
            return score(self.speechlm.lm, [prompt] * len(self.answers), self.answers, self.budget)

    def rows(self, encode: bool = False) -> list[torch.Tensor]:
        """The same with a row for every answer."""
        count = len(self.answers)
        features = self.speechlm.encode([self.wave] * count) if encode else [self.features] * count
        prompts = self.speechlm.prompts(features)
        with precision(self.speechlm.lm, self.dtype):
            return plain.score(self.speechlm.lm, prompts, self.answers)

    def pass_both_ways(self, logprobs: Callable[[], Sequence[torch.Tensor]]) -> torch.Tensor:
        """Forward and backward of a weighted sum of mean log-probs, as a policy gradient's; the log-probs."""
        rows = logprobs()
        (self.weights * torch.stack([row.mean() for row in rows])).sum().backward()
        return torch.cat([row.detach() for row in rows])

    def gradient(self) -> torch.Tensor:
        """The gradient that was left, as one vector; then there is none."""
        found = torch.cat([p.grad.flatten() for p in self.parameters if p.grad is not None])
        self.forget()
        return found

    def forget(self) -> None:
        """Leave no gradient."""
        for parameter in self.parameters:
            parameter.grad = None


def make_case(args: argparse.Namespace) -> Case:
    """The model's own answers to a long request, with adapters that do something."""
    speechlm = speech.open_model(args.model, args.tiny)
    wave = speech.long_request(args.seconds, args.tiny)
    features = speechlm.encode([wave])[0]
    marks = [seeds.derive(args.seed, i) for i in range(args.answers)]
    lm = replace(speechlm.lm, end_ids=[])
    with torch.no_grad():
        prompts = speechlm.prompts([features])
    drawn = generate(lm, prompts, Sampling(max_new_tokens=args.tokens), marks, group=args.answers)
    half = lm.model.dtype == torch.bfloat16
    settings = AlignSettings(train_connector=args.train_connector, dtype="bfloat16" if half else "float32")
    add_lora(speechlm, settings.lora.rank, settings.lora.alpha, seed=args.seed)
    parameters = trained_parameters(speechlm, settings)
    torch.manual_seed(args.seed)
    with torch.no_grad():
        for name, parameter in speechlm.lm.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.01)
    weights = torch.linspace(-1, 1, args.answers, device=lm.device)
    answers = [answer.ids for answer in drawn[0]]
    own = list(parameters.values())
    return Case(speechlm, wave, features, answers, weights, own, settings.batch_tokens, settings.dtype)


def compare_results(case: Case) -> str:
    """One line on how far log-probs and gradients are from float32. Ends the program if ours are the worse ones.

    Leaves the model in float32.
    """
    ways = {OURS: case.shared, PLAIN: case.rows}
    found = {way: (case.pass_both_ways(call), case.gradient()) for way, call in ways.items()}
    case.speechlm.lm.model.float()
    exact = replace(case, dtype="float32")
    truth = exact.pass_both_ways(exact.rows), exact.gradient()
    errors = {
        way: [float((a.float() - b.float()).norm() / b.float().norm()) for a, b in zip(values, truth)]
        for way, values in found.items()
    }
    line = "; ".join(f"{way}: log-probs {e[0]:.1e}, gradient {e[1]:.1e}" for way, e in errors.items())
    if any(ours > 2 * other + NOISE for ours, other in zip(errors[OURS], errors[PLAIN])):
        raise SystemExit(f"shared and plain results differ by more than their precision explains: {line}")
    return f"relative error against float32: {line}"


def flops(decoder: Decoder, work: Work) -> int:
    """FLOPs of a forward and backward pass, logits and their gradient included."""
    return decoder.forward(work) + decoder.backward(work) + 2 * decoder.head(work)


def main() -> None:
    """Time both ways, then compare what they gave."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--answers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10.0, help="of speech")
    parser.add_argument("--tokens", type=int, default=64, help="the length of an answer")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--train-connector", action="store_true", help="gradients go on into the connector")
    parser.add_argument("--encoder", action="store_true", help="the plain path encodes the speech once a row")
    parser.add_argument("--model", default="shipped", help="a SpeechLM checkpoint, or random:NAME")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tiny", action="store_true", help="a random model made in memory: shows that it works")
    args = parser.parse_args()
    case = make_case(args)

    def ours() -> None:
        case.pass_both_ways(case.shared)
        case.forget()

    def rows() -> None:
        case.pass_both_ways(lambda: case.rows(args.encoder))
        case.forget()

    lm = case.speechlm.lm
    size = probe_size(lm.device, args.tiny)
    times = interleaved({OURS: ours, PLAIN: rows, **probes(lm.device, size)}, args.rounds)
    machine, decoder = Machine.of(times, size), Decoder.of(lm.model)
    lengths = [len(case.speechlm.prompts([case.features])[0])], [[len(answer) for answer in case.answers]]
    need = {OURS: flops(decoder, shared_work(*lengths)), PLAIN: flops(decoder, row_work(*lengths))}
    print(f"{args.answers} answers of {args.tokens} tokens to {args.seconds:g} s of speech, {lengths[0][0]} rows")
    print(machine)
    for name in (OURS, PLAIN):
        seconds, least = median(times[name]), machine.floor(need[name])
        print(
            f"  {name}: {seconds:.3f} s for {need[name] / 1e9:.4g} GFLOP in the LLM; floor {least:.3f} s, "
            f"{least / seconds:.0%} of the time"
        )
    print(f"  sharing alone saves a factor of {need[PLAIN] / need[OURS]:.2f} of the FLOPs")
    print(compare_results(case))
    print(f"ratio: {paired_ratio(times, PLAIN, OURS):.2f}")


if __name__ == "__main__":
    main()
