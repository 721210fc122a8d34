"""CTC training of the connector: no LLM forward, exact resume."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from rba import checkpoint
from rba.connect.ctc_loss import ctc_nll
from rba.connect.features import FeatureStore
from rba.connect.settings import CtcSettings
from rba.connect.vocabulary import SpeechVocabulary
from rba.data import seeds
from rba.errors import DataError
from rba.lm.number_format import AUTO, number_format
from rba.models.connector import Connector
from rba.progress import progress
from rba.rates import warmup_cosine


def plan_batches(lengths: np.ndarray, budget: int, rng: np.random.Generator) -> list[list[int]]:
    """Indices of one pass in random order, batched by similar length: at most `budget` padded steps a batch."""
    # jitter mixes neighbours anew in every pass
    order = np.argsort(lengths * rng.uniform(0.93, 1.07, len(lengths)), kind="stable")
    batches: list[list[int]] = []
    current: list[int] = []
    longest = 0
    for i in order.tolist():
        longest = max(longest, int(lengths[i]))
        if current and longest * (len(current) + 1) > budget:
            batches.append(current)
            current, longest = [], int(lengths[i])
        current.append(i)
    batches.append(current)
    return [batches[i] for i in rng.permutation(len(batches))]


def hide(frames_BTF: torch.Tensor, mask_BT: torch.Tensor, share: float, rng: np.random.Generator) -> torch.Tensor:
    """Zero spans of one to five steps (about `share` of all) and a band of features: SpecAugment on encoder frames.

    `mask_BT` is on the CPU, where the spans are drawn.
    """
    if share <= 0:
        return frames_BTF
    batch, steps, width = frames_BTF.shape
    keep = torch.ones(batch, steps, 1)
    for b, length in enumerate(mask_BT.sum(1).tolist()):
        for _ in range(rng.binomial(max(1, length // 3), share)):
            start = int(rng.integers(0, length))
            keep[b, start : start + int(rng.integers(1, 6))] = 0
    band = torch.ones(batch, 1, width)
    for b in range(batch):
        start = int(rng.integers(0, width))
        band[b, 0, start : start + int(rng.integers(0, width // 8))] = 0
    return frames_BTF * keep.to(frames_BTF) * band.to(frames_BTF)


def ctc_loss(
    connector: Connector, features: list[torch.Tensor], targets: list[list[int]], share: float, rng: np.random.Generator
) -> torch.Tensor:
    """Mean CTC loss a target token (nats); `targets` are rows of the connector's tokens."""
    frames_BTF, mask_BT = connector.stack(features)
    device, sizes_B = connector.enter.weight.device, mask_BT.sum(1)
    frames_BTF = hide(frames_BTF.to(device).float(), mask_BT, share, rng)  # in half precision it travels faster
    mask_BT = mask_BT.to(device)
    dtype = number_format(AUTO, device)
    with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        query_BTD, blank_BT = connector.queries(frames_BTF, mask_BT)
    query_ND = query_BTD[mask_BT].to(dtype)
    total = ctc_nll(query_ND, blank_BT[mask_BT], connector.keys_VD, connector.bias_V, targets, sizes_B)
    return total / sum(map(len, targets))


def train(
    connector: Connector,
    store: FeatureStore,
    vocabulary: SpeechVocabulary,
    settings: CtcSettings,
    *,
    seed: int,
    folder: Path,
    minutes: float,
    log: Callable[[dict], None],
    validate: Callable[[Connector], float],
) -> None:
    """Train `connector` in place for `settings.passes` over `store`; resumes from `folder` exactly.

    `validate` gives a WER that is logged after every pass and at the end. Raises DataError where no utterance is long
    enough for its text.
    """
    targets = [connector.rows(vocabulary.encode(row.text)) for row in store.rows]
    steps = np.array([-(-row.length // settings.stack) for row in store.rows])
    usable = np.array([i for i in range(len(store)) if targets[i] and steps[i] >= _needed(targets[i])])
    if not usable.size:
        what = f"none of {len(store)} utterances has a step for each token of its text"
        raise DataError(what, f"connect.ctc.stack {settings.stack}", "stack fewer frames, or give other texts")
    plan = list(_plan(usable, steps, settings, seed))
    parameters = dict(connector.named_parameters())
    optimizer = torch.optim.AdamW(parameters.values(), lr=settings.lr, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    state = checkpoint.load(folder, parameters, optimizer) or {"step": 0}
    saved = time.monotonic()
    with progress("connector (CTC)", len(plan) - state["step"]) as bar:
        for step in range(state["step"], len(plan)):
            turn, batch = plan[step]
            for group in optimizer.param_groups:
                group["lr"] = settings.lr * warmup_cosine(step, len(plan), settings.warmup)
            torch.manual_seed(seeds.derive(seed, "dropout", step) % 2**31)
            connector.train()
            features = [store.features(i) for i in batch]
            wanted = [targets[i] for i in batch]
            loss = ctc_loss(connector, features, wanted, settings.mask, seeds.rng(seed, "mask", step))
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            bar.advance(1, f"loss {loss.item():.3f}")
            if step % 20 == 0:
                log({"phase": "ctc", "step": step, "pass": turn, "loss": loss.item(), "grad_norm": float(norm)})
            last = step + 1 == len(plan)
            if last or plan[step + 1][0] != turn:
                connector.eval()
                log({"phase": "ctc", "step": step, "pass": turn, "wer": validate(connector)})
            if last or time.monotonic() - saved > 60 * minutes:
                checkpoint.save(folder, parameters, optimizer, {"step": step + 1})
                saved = time.monotonic()
    connector.eval()


def _needed(target: list[int]) -> int:
    """CTC needs a step a token and one more between equal neighbours."""
    return len(target) + sum(a == b for a, b in zip(target, target[1:]))


def _plan(usable: np.ndarray, steps: np.ndarray, settings: CtcSettings, seed: int) -> Iterator[tuple[int, list[int]]]:
    """(pass, batch) of every update; a last share of a pass for a fractional `passes`."""
    for turn in range(math.ceil(settings.passes)):
        batches = plan_batches(steps[usable], settings.batch_steps, seeds.rng(seed, "pass", turn))
        keep = math.ceil(len(batches) * min(1.0, settings.passes - turn))
        for batch in batches[:keep]:
            yield turn, usable[batch].tolist()
