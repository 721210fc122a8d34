"""Same-LLM distillation of the connector: the LLM on typed words teaches the LLM on spoken ones.

Forward KL at every answer position, the end of turn included (as Ultravox trains), beside the CTC loss, which keeps
the connector readable. Only the connector learns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

from rba import checkpoint
from rba.connect.ctc import ctc_loss
from rba.connect.features import FeatureStore
from rba.connect.settings import DistillSettings
from rba.connect.vocabulary import SpeechVocabulary
from rba.data import seeds
from rba.lm.generation import generate
from rba.lm.sampling import Sampling
from rba.lm.scoring import response_logits
from rba.models.compact import CompactSpeechLM
from rba.progress import progress
from rba.rates import warmup_cosine

WARMUP = 0.05


def forward_kl(teacher_logits_NV: torch.Tensor, student_logits_NV: torch.Tensor) -> torch.Tensor:
    """Mean over positions of KL(teacher || student), in nats."""
    teacher_NV = teacher_logits_NV.float().log_softmax(-1)
    student_NV = student_logits_NV.float().log_softmax(-1)
    return F.kl_div(student_NV, teacher_NV, reduction="batchmean", log_target=True)


def distil(
    speechlm: CompactSpeechLM,
    store: FeatureStore,
    vocabulary: SpeechVocabulary,
    settings: DistillSettings,
    *,
    seed: int,
    folder: Path,
    minutes: float,
    log: Callable[[dict], None],
) -> None:
    """Train the connector of `speechlm` in place for `settings.updates`; resumes from `folder` exactly."""
    lm, connector = speechlm.lm, speechlm.connector
    parameters = dict(connector.named_parameters())
    optimizer = torch.optim.AdamW(parameters.values(), lr=settings.lr, betas=(0.9, 0.98), weight_decay=0.01)
    state = checkpoint.load(folder, parameters, optimizer) or {"step": 0}
    sampling = Sampling(temperature=0.7, top_p=0.9, max_new_tokens=settings.max_response)
    batch = min(settings.batch, len(store))
    saved = time.monotonic()
    connector.eval()  # a frozen dropout: teacher and student differ in the words' channel alone
    with progress("connector (distillation)", settings.updates - state["step"]) as bar:
        for step in range(state["step"], settings.updates):
            for group in optimizer.param_groups:
                group["lr"] = settings.lr * warmup_cosine(step, settings.updates, WARMUP)
            items = seeds.rng(seed, "distil", step).choice(len(store), batch, replace=False).tolist()
            texts = [store.rows[i].text for i in items]
            typed = speechlm.text_prompts(texts)
            answers = [c[0].ids for c in generate(lm, typed, sampling, [seeds.derive(seed, step, i) for i in items])]
            with torch.no_grad():
                taught = response_logits(lm.model, typed, answers)
            features = [store.features(i) for i in items]
            heard = response_logits(lm.model, speechlm.prompts(features), answers)
            kl = forward_kl(torch.cat(taught), torch.cat(heard))
            wanted = [connector.rows(vocabulary.encode(text)) for text in texts]
            loss = kl + settings.ctc_weight * ctc_loss(connector, features, wanted, 0.0, seeds.rng(0)).to(kl.device)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            bar.advance(1, f"kl {kl.item():.3f}")
            log({"phase": "distil", "step": step, "kl": kl.item(), "loss": loss.item(), "grad_norm": float(norm)})
            if step + 1 == settings.updates or time.monotonic() - saved > 60 * minutes:
                checkpoint.save(folder, parameters, optimizer, {"step": step + 1})
                saved = time.monotonic()
