"""What all stages of a plan are planned from."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rba.alignment.settings import AlignSettings
from rba.lm.flops import Decoder
from rba.plan.assumptions import Assumptions
from rba.plan.device import GPU, Device
from rba.plan.item import Item, Part, Pass
from rba.plan.lengths import Lengths
from rba.plan.shapes import Shapes
from rba.plan.speechlm import Hearing
from rba.recipe import Recipe
from rba.services.service import is_service, parse_service

GIB = 2**30
VECTOR = 2 * 384
"""Bytes of a kept instruction's float16 embedding (all-MiniLM)."""
KEPT = 4
"""Bytes a number of keys and values on a CPU, where `rba.lm.grouped` keeps them in float32."""
TEXT = 3.3
"""Bytes of a token of text in a shard: (161,882 less vectors) / 25,345 tokens in recipes/evidence-tiny.yaml, seed 0."""


@dataclass(frozen=True)
class Basis:
    """A recipe, what is assumed of it, the shapes of its models and the devices that do the work."""

    recipe: Recipe
    assumed: Assumptions
    shapes: Shapes
    hearing: Hearing
    lengths: Lengths
    local: Device
    server: Device
    cores: int

    def under(self, settings: AlignSettings) -> Basis:
        """The same recipe, which names what it names, with other settings of alignment."""
        every = self.recipe.align
        recipe = replace(self.recipe, align=replace(settings, methods=every.methods, variants=every.variants))
        return replace(self, recipe=recipe, lengths=replace(self.lengths, recipe=recipe))

    def itemsize(self, dtype: str) -> int:
        """Bytes of a weight in a number format; "auto" as the local device takes it."""
        import torch

        from rba.lm.number_format import AUTO, number_format

        if dtype == AUTO and self.local.kind == GPU:
            return 2
        return number_format(dtype, torch.device("cpu")).itemsize

    def text_lm(self, name: str) -> Decoder | None:
        """The decoder of a text LLM, local or served (in half precision there)."""
        shape = self.shapes.find(name, "lm")
        if shape is None or shape.decoder is None:
            return None
        return replace(shape.decoder, itemsize=2 if is_service(name) else self.itemsize("auto"))

    def work(
        self, what: str, name: str, count: float, prompt: float, new: int, passes: tuple[Pass, ...] | None
    ) -> Item:
        """An item of the model `name`; without passes its shape is unknown."""
        unknown = f"{name_of(name)}: shape unknown" if passes is None else ""
        total = (count * prompt, count * new)
        return Item(what, count, *total, passes or (), served=is_service(name), unknown=unknown)

    def weights(self, name: str, what: str, kind: str = "lm") -> tuple[Part, ...]:
        """The memory of a text LLM's or a reward model's weights; nothing for an unknown shape."""
        shape = self.shapes.find(name, kind)  # type: ignore[arg-type]
        if shape is None:
            return ()
        served = is_service(name)
        return (Part(f"{what} weights", shape.parameters * (2 if served else self.itemsize("auto")), served=served),)

    def batch(self, name: str, local: int) -> int:
        """Answers drawn at once: those of a local batch, or the requests under way at a server."""
        return parse_service(name).concurrency if is_service(name) else local

    @property
    def resident(self) -> tuple[Part, ...]:
        """What a process takes before it loads a model, where models share its memory."""
        if self.local.kind == GPU:
            return ()
        return (Part("Python and libraries", self.assumed.process_gib * GIB),)


def cache(decoder: Decoder, rows: float, positions: float, kind: str = GPU) -> float:
    """Bytes of the keys and values of so many rows on a device of this kind."""
    itemsize = decoder.itemsize if kind == GPU else KEPT
    return 2 * decoder.layers * decoder.kv_heads * decoder.head_size * itemsize * rows * positions


def name_of(name: str) -> str:
    """A model's name without its server."""
    return parse_service(name).model if is_service(name) else name
