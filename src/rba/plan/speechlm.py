"""The SpeechLM of a recipe by its parts, none of them loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rba.connect.settings import ConnectSettings
from rba.files import local
from rba.lm.flops import Decoder
from rba.models import SHIPPED, shipped_folder
from rba.models.families import FAMILIES, Family
from rba.plan.shapes import Shape, Shapes
from rba.recipe import CONNECT, Recipe

FRAMES = 50.0
"""Feature vectors that Whisper's encoder makes of a second."""


@dataclass(frozen=True)
class Hearing:
    """A SpeechLM: its LLM, what hears, and the weights of the connector between them; None where a shape is unknown."""

    name: str
    llm: Shape | None
    ears: Shape | None
    connector: int
    compact: bool

    @property
    def decoder(self) -> Decoder | None:
        """The shape of the LLM."""
        return self.llm.decoder if self.llm else None

    @property
    def frame_rate(self) -> float:
        """Feature vectors of a second of sound; an audio LM's tower is taken to make as many as Whisper's."""
        return self.ears.frame_rate if self.compact and self.ears else FRAMES

    @property
    def audio_rows(self) -> float:
        """Rows for the LLM that an audio LM makes of a second of sound."""
        ears = None if self.compact else self.ears
        return FAMILIES[ears.family].rows if ears else Family.rows

    @property
    def kept_rows(self) -> int:
        """Rows of features of every clip, where they do not depend on its length; else 0."""
        return 0 if self.compact or self.ears is None else FAMILIES[self.ears.family].kept_rows

    @property
    def frozen(self) -> int:
        """Weights beside the connector's."""
        llm = self.llm.parameters if self.llm else 0
        if not self.compact:
            return llm - self.connector  # the audio LM as a whole
        return llm + (self.ears.tower if self.ears else 0)


def hearing(recipe: Recipe, shapes: Shapes) -> Hearing:
    """The SpeechLM that a recipe aligns. Raises ModelError where there can be none."""
    from rba.connect.stage import shipped_for

    if recipe.model == CONNECT:
        made = recipe.connect.connector == "train"
        if not made:
            return _checkpoint(shipped_for(recipe.connect), SHIPPED, shapes)
        llm, ears = shapes.find(recipe.connect.llm, "lm"), shapes.find(recipe.connect.encoder, "encoder")
        return Hearing(CONNECT, llm, ears, trained_connector(recipe.connect, llm, ears), compact=True)
    if recipe.model == SHIPPED:
        return _checkpoint(shipped_folder(), SHIPPED, shapes)
    folder = local(recipe.model)
    if (folder / "speechlm.json").is_file():
        return _checkpoint(folder, recipe.model, shapes)
    return _published(recipe.model, shapes)


def trained_connector(settings: ConnectSettings, llm: Shape | None, ears: Shape | None) -> int:
    """The weights of the connector that the connect stage trains, but for one bias a token that it reads."""
    import torch

    from rba.models.connector import Connector, ConnectorConfig

    if llm is None or llm.decoder is None or ears is None:
        return 0
    ctc = settings.ctc
    shape = ConnectorConfig(ears.tower_width, ctc.stack, ctc.width, ctc.layers)
    return sum(p.numel() for p in Connector(shape, [0], torch.zeros(1, llm.decoder.width)).parameters())


def _published(name: str, shapes: Shapes) -> Hearing:
    found = shapes.find(name, "audio")
    return Hearing(name, found, found, found.projector if found else 0, compact=False)


def _checkpoint(folder: Path, name: str, shapes: Shapes) -> Hearing:
    """A folder that rba wrote, of either kind."""
    from rba.models.load import facts_of, undamaged

    facts = facts_of(folder)
    if "model" in facts:
        return _published(facts["model"], shapes)
    with undamaged(folder / "speechlm.json"):
        names = facts["llm"], facts["encoder"]
    with undamaged(folder / "connector.safetensors"):
        connector = _weights(folder / "connector.safetensors")
    return Hearing(name, shapes.find(names[0], "lm"), shapes.find(names[1], "encoder"), connector, compact=True)


def _weights(path: Path) -> int:
    """How many weights a safetensors file holds, by its header; whole numbers are no weights."""
    import math

    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        slices = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118
        return sum(math.prod(one.get_shape()) for one in slices if one.get_dtype().startswith(("F", "BF")))
