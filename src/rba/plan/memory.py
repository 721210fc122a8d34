"""What alignment holds in memory: weights, adapter and optimiser, activations, keys and values, logits."""

from __future__ import annotations

from rba.lm.flops import Decoder
from rba.lm.likelihood import CHUNK
from rba.lm.product import MOST
from rba.lm.quantization import BYTES as PACKED
from rba.plan.basis import Basis, cache
from rba.plan.device import GPU
from rba.plan.item import Part
from rba.plan.updates import Updates

TRAINED_BYTES = 16
"""Bytes a trained weight: itself, its gradient and AdamW's two moments, all float32."""
WHOLE_BYTES = 8
"""Those of them that each process holds where `align.sharding: fsdp` divides the rest: weight and gradient."""
GATHERED = 2
"""Blocks that `align.sharding: fsdp` holds whole at a time: the one that runs, and the next one."""
SCORE_BYTES = 12
"""Bytes a logit where answers are drawn: as it is, in float32, and its probability."""


def model_memory(basis: Basis, dtype: str, divided: bool = False, packed: bool = False) -> tuple[Part, ...]:
    """The weights of the SpeechLM: LLM and encoder in the run's format, the connector in float32.

    Where the LLM's blocks are `divided` among the local devices, a process holds its share and `GATHERED` whole ones;
    `packed` ones take 4 bits a weight.
    """
    model, size = basis.hearing, basis.itemsize(dtype)
    weights: float = size * model.frozen + 4 * model.connector
    if divided and model.decoder:
        blocks = size * model.decoder.weights
        weights -= blocks * (1 - 1 / basis.local.count - GATHERED / model.decoder.layers)
    if packed and model.decoder:
        weights -= (size - PACKED) * model.decoder.weights
    return (*basis.resident, Part("SpeechLM weights", weights))


def training_memory(basis: Basis, decoder: Decoder, found: Updates) -> tuple[Part, ...]:
    """What is trained, and what the largest micro-batch keeps for its backward pass. `decoder` has the adapter."""
    settings = basis.recipe.align
    chunk = CHUNK["cuda" if basis.local.kind == GPU else "cpu"]
    trained = decoder.trained + (basis.hearing.connector if settings.train_connector else 0)
    half = decoder.full and decoder.itemsize < 4
    # of copies in half precision: themselves and their gradients, beside the float32 masters
    beside: float = 2 * decoder.itemsize * decoder.trained if half else 0
    if settings.sharding != "none":  # divided are masters, their gradients and moments; weights in float32 are whole
        whole = 0 if half else WHOLE_BYTES * trained
        divided = (TRAINED_BYTES * trained - whole) / basis.local.count
        beside, trained = beside + whole + divided, 0
    what = "trained copies" if decoder.full else "adapter"
    return (
        Part(f"{what}, gradient and optimiser", TRAINED_BYTES * trained + beside),
        Part("activations", activations(decoder, found, settings.gradient_checkpointing), "update"),
        Part("logits of a chunk", chunk * decoder.vocabulary * (decoder.itemsize + 4), "update"),
    )


def drawing_memory(basis: Basis, decoder: Decoder, batch: int, positions: int) -> tuple[Part, ...]:
    """Keys and values of a batch of answers at their longest, one step's logits, and the copies a CPU draws by."""
    copies = decoder.itemsize * (decoder.weights + decoder.adapter + decoder.width * decoder.vocabulary)
    copied = basis.local.kind != GPU and copies <= MOST
    return (
        Part("keys and values", cache(decoder, batch, positions, basis.local.kind), "draw"),
        Part("logits of a step", SCORE_BYTES * batch * decoder.vocabulary, "draw"),
        *((Part("weights laid out", copies, "draw"),) if copied else ()),
    )


def activations(decoder: Decoder, found: Updates, checkpointing: bool) -> float:
    """Bytes kept for the backward pass of the largest micro-batch.

    A token keeps 10 widths, 4 inner widths and the adapter's 7 ranks in every block, and an answer twice the keys and
    values of all before it: within 8 % of what autograd saved of SmolLM2-135M with rank 16, prompts of 48 and 200 rows
    and answers of 48 and 200 tokens. With checkpointing a block keeps its input and the prompt's keys and values, and
    one block at a time the rest.
    """
    rows, answers = found.largest
    tokens = rows + sum(length for _, length in answers)
    keys = decoder.kv_heads * decoder.head_size
    block = tokens * (10 * decoder.width + 4 * decoder.inner + 7 * decoder.rank)
    block += 4 * keys * sum(prompt + length for prompt, length in answers)
    if not checkpointing:
        return float(decoder.itemsize * decoder.layers * block)
    kept = tokens * decoder.width + 2 * keys * sum(prompt for prompt, _ in answers)
    return float(decoder.itemsize * (decoder.layers * kept + block))
