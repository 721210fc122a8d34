"""The shape of a model without its weights: its configuration, and the real class built on torch's meta device."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rba.errors import ModelError, RbaError, RecipeError
from rba.files import local
from rba.lm.flops import Decoder, countable
from rba.plan.classes import BUILDERS, Kind
from rba.plan.published import PUBLISHED
from rba.services.service import is_service, parse_service

_HEARING = ("encoder", "recogniser")
_BASES = {
    "llama_path": "llm_config",
    "llm_model_id": "llm_config",
    "text_model_id": "text_config",
    "whisper_path": "encoder_config",
    "encoder_model_id": "encoder_config",
    "audio_model_id": "audio_config",
}
"""Keys that name a base model in an audio LM's configuration, and those that its own configuration stands by."""


@dataclass(frozen=True)
class Shape:
    """What a model's configuration tells.

    `source` says where it was found; `parameters` are all of its weights; `decoder` is None for an LLM whose blocks
    hold more than a gated MLP and attention. Of a model that hears: the weights of its `tower`, the layers and the
    width of that, the weights of its `projector`, and its `family`; of an encoder and a recogniser also the feature
    vectors that it makes of a second. The `family` of any other model is the name of its class.
    """

    name: str
    source: str
    parameters: int
    decoder: Decoder | None = None
    tower: int = 0
    tower_layers: int = 0
    tower_width: int = 0
    projector: int = 0
    family: str = ""
    frame_rate: float = 0.0

    def hearing(self, frames: float) -> float:
        """FLOPs of the tower over so many frames."""
        return 2 * self.tower * frames + 4 * self.tower_layers * self.tower_width * frames**2


class Shapes:
    """Finds shapes by name: what the user gave, the registry's cache, a folder, the hub's cache, the published table.

    `given` are configuration files by model name. What is not found is told once, in `unknown`.
    """

    def __init__(self, given: Mapping[str, str] | None = None):
        self.given, self.unknown = dict(given or {}), dict[str, str]()
        self._found: dict[tuple[str, Kind], Shape | None] = {}
        self._asked: list[str] = []

    def find(self, name: str, kind: Kind) -> Shape | None:
        """The shape of `name`; None where nothing here tells it.

        Raises ModelError for a name that no model can have, and for a configuration that makes no such model.
        """
        if (name, kind) not in self._found:
            model = parse_service(name).model if is_service(name) else name
            config, source = self._config(model, is_service(name))
            found = _shape(model, kind, config, source) if config is not None else None
            self._found[name, kind] = found
            if found is None:
                fix = f"give its configuration: --shape {model}=config.json"
                self.unknown[model] = f"the shape of {model} is not known here, so its work is not counted; {fix}"
            elif found.decoder is None and kind not in _HEARING:
                what = "hold more than attention and a gated MLP"
                self.unknown[model] = f"the blocks of {model} {what}, so its work is not counted"
        return self._found[name, kind]

    @property
    def known(self) -> list[Shape]:
        """All shapes that were found, each model once."""
        return list({shape.name: shape for shape in self._found.values() if shape}.values())

    def check_given(self) -> None:
        """Raise RecipeError, with the nearest name, for what the user gave and nobody has asked for."""
        for name in self.given.keys() - set(self._asked):
            nearest = difflib.get_close_matches(name, self._asked, n=1, cutoff=0.4)
            fix = f"did you mean {nearest[0]}?" if nearest else f"it needs {', '.join(dict.fromkeys(self._asked))}"
            raise RecipeError("the plan needs the shape of no such model", f"--shape {name}", fix)

    def _config(self, name: str, served: bool) -> tuple[Any, str]:
        self._asked.append(name)
        if name in self.given:
            path = local(self.given[name])
            with _checked(name, str(path)):
                return self._whole(json.loads(path.read_text(encoding="utf-8")), str(path)), f"--shape {path}"
        place, source = _place(name, served)
        if place:
            try:
                with _checked(name, place):
                    return self._opened(place), source
            except ModelError:
                if source != "hub cache":
                    raise
        if name in PUBLISHED:
            return _made(PUBLISHED[name]), "published"
        return None, ""

    def _opened(self, place: str) -> Any:
        from transformers import PreTrainedConfig

        tree, _ = PreTrainedConfig.get_config_dict(place, local_files_only=True)
        if any(tree.get(key) for key in _BASES):
            return self._whole(tree, place)
        return _auto_config().from_pretrained(place, local_files_only=True)

    def _whole(self, tree: Mapping[str, Any], place: str) -> Any:
        """A configuration, with those of the base models that it names found as any other; no network is asked."""
        own = {key: value for key, value in tree.items() if key not in _BASES}
        for key, base in tree.items():
            if key in _BASES and base:
                own[_BASES[key]], _ = self._config(base, served=False)
                if own[_BASES[key]] is None:
                    fix = f"bring it here once: hf download {base} config.json"
                    raise ModelError(f"nothing here tells the configuration of its base model {base}", place, fix)
        return _made(own)


def _place(name: str, served: bool) -> tuple[str, str]:
    """What AutoConfig opens for a name, and which kind of place it is.

    "" for a registry model that is not fetched, and for a name that only a server knows.
    """
    from rba.weights.cache import is_cached, path
    from rba.weights.registry import SOURCES, find

    if name in SOURCES:
        return (str(path(name)), "registry cache") if is_cached(name) else ("", "")
    if local(name).is_dir():
        return str(local(name)), "folder"
    if "/" not in name and name not in PUBLISHED:
        if served:
            return "", ""
        find(name)
    return name, "hub cache"


def _made(tree: Mapping[str, Any]) -> Any:
    rest = {key: value for key, value in tree.items() if key != "model_type"}
    return _auto_config().for_model(tree["model_type"], **rest)


def _auto_config() -> Any:
    """transformers' AutoConfig, told of the models that it lacks."""
    from transformers import AutoConfig

    from rba.models.desta_model import DestaConfig
    from rba.models.salmonn_model import SalmonnConfig
    from rba.models.ultravox_model import UltravoxConfig

    for kind in (DestaConfig, SalmonnConfig, UltravoxConfig):
        AutoConfig.register(kind.model_type, kind, exist_ok=True)
    return AutoConfig


@contextmanager
def _checked(name: str, place: str) -> Iterator[None]:
    """Raise ModelError for a configuration of `name` that cannot work."""
    try:
        yield
    except RbaError:
        raise
    except Exception as error:  # a value that nobody checks ends in whatever its model's code raises
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
        fix = "give a config.json of transformers"
        raise ModelError(f"this is no configuration of {name}: {reason}", place, fix) from error


def _shape(name: str, kind: Kind, config: Any, source: str) -> Shape:
    """Build the model's real class without weights and count them."""
    import torch

    from rba.models.wave_encoder import frame_rate

    with _checked(name, source):
        with torch.device("meta"):
            model, hearing = BUILDERS[kind](config, name)
            model.tie_weights()  # older releases of transformers leave that out where weights take no room
        rate = frame_rate(config) if kind in _HEARING else 0.0
        decoder = Decoder.of(model) if kind not in _HEARING and countable(model) else None
    whole = _count(model)
    if kind == "audio":
        tower, projector = hearing
        bridge = _count(projector)
        ears = _count(tower, projector) - bridge
        return Shape(name, source, whole, decoder, ears, *_tower(model), bridge, config.model_type)
    if kind in _HEARING:
        tower = model.get_encoder() if config.is_encoder_decoder else model
        return Shape(name, source, whole, None, _count(tower), *_tower(model), 0, config.model_type, rate)
    return Shape(name, source, whole, decoder, family=type(model).__name__)


def _count(*modules: Any) -> int:
    """The different weights of some modules together."""
    return sum({id(p): p.numel() for module in modules for p in module.parameters()}.values())


def _tower(model: Any) -> tuple[int, int]:
    """Layers and width of what hears."""
    config = getattr(model.config, "audio_config", None) or getattr(model.config, "encoder_config", model.config)
    layers = ("encoder_layers", "encoder_num_hidden_layers", "num_hidden_layers", "num_layers", "num_blocks")
    return _first(config, (*layers, "conf_num_hidden_layers")), _first(config, ("d_model", "hidden_size", "hidden_dim"))


def _first(config: Any, names: Sequence[str]) -> int:
    return next((int(getattr(config, name)) for name in names if hasattr(config, name)), 0)
