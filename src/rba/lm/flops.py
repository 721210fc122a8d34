"""What a decoder needs at least for given work, in FLOPs and bytes, and what products alone reach on this device."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from rba.lm.adapted import is_adapter
from rba.lm.scoring import backbone


@dataclass(frozen=True)
class Work:
    """What passes a decoder: `tokens`, pairs of a token and one it attends to, and `positions` through the head."""

    tokens: int
    pairs: int
    positions: int


def attended(start: int, count: int) -> int:
    """Pairs of `count` tokens, the first of which has `start` before it, with all up to themselves."""
    return count * start + count * (count + 1) // 2


def shared_work(prompts: Sequence[int], answers: Sequence[Sequence[int]], common: int = 0) -> Work:
    """Scoring answers of these lengths to prompts of these lengths, with nothing done twice.

    The `common` first rows of all prompts pass once, the rest of each prompt once, and each answer but its last token.
    """
    tails = [(prompt, n - 1) for prompt, lengths in zip(prompts, answers) for n in lengths]
    tokens = common + sum(prompt - common for prompt in prompts) + sum(n for _, n in tails)
    pairs = attended(0, common) + sum(attended(common, prompt - common) for prompt in prompts)
    return Work(tokens, pairs + sum(attended(*tail) for tail in tails), sum(map(sum, answers)))


def row_work(prompts: Sequence[int], answers: Sequence[Sequence[int]]) -> Work:
    """The same with a whole row, prompt included, for every answer."""
    rows = [(prompt, [n]) for prompt, lengths in zip(prompts, answers) for n in lengths]
    return shared_work([prompt for prompt, _ in rows], [row for _, row in rows])


@dataclass(frozen=True)
class Decoder:
    """The shape of a decoder with gated MLPs (Llama, Qwen, SmolLM), and what it costs at least.

    Norms, rotations, activations and softmax are left out. The base is frozen: backwards its weights cost one product,
    not two; an adapter of `rank` on every weight matrix of a block costs both, and so do the weights if they are
    trained in `full`.
    """

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_size: int
    inner: int
    vocabulary: int
    rank: int = 0
    itemsize: int = 2
    full: bool = False

    @classmethod
    def of(cls, model: Any) -> Decoder:
        """The shape of a causal LM of transformers, also under PEFT."""
        config, adapter = model.config.get_text_config(), getattr(model, "peft_config", {}).get("default")
        heads = config.num_attention_heads
        return cls(
            config.num_hidden_layers,
            config.hidden_size,
            heads,
            config.num_key_value_heads,
            getattr(config, "head_dim", None) or config.hidden_size // heads,
            config.intermediate_size,
            config.vocab_size,
            rank=adapter.r if adapter and not adapter.modules_to_save else 0,
            itemsize=model.get_input_embeddings().weight.element_size(),
            full=bool(adapter and adapter.modules_to_save),
        )

    @property
    def _shapes(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of a block's weight matrices."""
        queries, keys = self.heads * self.head_size, self.kv_heads * self.head_size
        attention = [(self.width, queries), (self.width, keys), (self.width, keys), (queries, self.width)]
        return [*attention, (self.width, self.inner), (self.width, self.inner), (self.inner, self.width)]

    @property
    def weights(self) -> int:
        """The numbers in the weight matrices of all blocks."""
        return self.layers * sum(i * o for i, o in self._shapes)

    @property
    def adapter(self) -> int:
        """The numbers in an adapter on all of them."""
        return self.layers * self.rank * sum(i + o for i, o in self._shapes)

    @property
    def trained(self) -> int:
        """The numbers in what is trained: the adapter, or all weight matrices of the blocks."""
        return self.weights if self.full else self.adapter

    def forward(self, work: Work) -> int:
        """FLOPs of the blocks."""
        attention = 4 * self.layers * self.heads * self.head_size * work.pairs
        return 2 * work.tokens * (self.weights + self.adapter) + attention

    def backward(self, work: Work) -> int:
        """FLOPs of the gradient through the blocks, to what is trained and the prompts."""
        attention = 8 * self.layers * self.heads * self.head_size * work.pairs
        return 2 * work.tokens * (self.weights + self.adapter + self.trained) + attention

    def head(self, work: Work) -> int:
        """FLOPs of the logits; their gradient costs as much again."""
        return 2 * work.positions * self.width * self.vocabulary

    def read(self, kept: int) -> int:
        """Bytes that one step of decoding reads: all weights, and the keys and values of `kept` positions."""
        memory = 2 * self.layers * self.kv_heads * self.head_size * kept
        return self.itemsize * (self.weights + self.width * self.vocabulary + memory) + 4 * self.adapter

    def decoding(self, prompts: Sequence[int], answers: Sequence[Sequence[int]]) -> int:
        """FLOPs of drawing them: the passes of scoring, logits included."""
        work = shared_work(prompts, answers)
        return self.forward(work) + self.head(work)


def countable(model: Any) -> bool:
    """Whether `Decoder` describes a causal LM: its blocks hold the linear layers of a gated MLP and nothing else."""
    try:
        shape = Decoder.of(model)
    except (AttributeError, RuntimeError):  # transformers raises the second for a size that blocks do not share
        return False
    if not isinstance(shape.inner, int):  # blocks of several widths
        return False
    # beside an adapter stand its own two matrices, beside trained copies what they were: the weights once are counted
    llm = backbone(model)
    blocks = getattr(llm, "layers", llm)
    linear = [m for n, m in blocks.named_modules() if isinstance(m, torch.nn.Linear) and not is_adapter(n)]
    # not the number of stored values: packed weights hold two in each
    return sum(m.in_features * m.out_features for m in linear) == shape.weights


@cache
def matmul_rate(device: torch.device, dtype: torch.dtype, rounds: int = 5) -> float:
    """FLOP/s of plain matrix products, the best of a few; measured once in a process for each device and precision."""
    size = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))  # a GPU is faster on ones
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        product = left @ right
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
        del product
    return 2 * size**3 / min(seconds[1:])
