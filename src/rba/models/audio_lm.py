"""Audio LMs as SpeechLMs: the model's own processor, chat template, tower and projector.

Everything is read off the real class: its own forward pass is run up to where the projector begins, so that masks and
lengths are its own, and the rows around the audio are those of its own processor.
"""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from rba.data.audio import SAMPLE_RATE
from rba.errors import ModelError
from rba.lm import quantization
from rba.lm.load import TextLM
from rba.lm.number_format import AUTO, number_format, pick_device
from rba.lm.preamble import System
from rba.lm.quantization import NONE
from rba.lm.scoring import backbone
from rba.models import turns
from rba.models.adapters import FOLDER, facts_of_llm, has_lora, load_lora, save_lora
from rba.models.bridge import class_of, first, in_float32, lacking, projector_of, with_own_adapter
from rba.models.clips import Clips, clips_of, only_one
from rba.models.families import PROJECTOR, Family, check_whole, family_of
from rba.models.targets import linear_layers
from rba.models.worded import as_wide, fit
from rba.weights.opening import opening

TOGETHER = 16
"""Clips that go through the tower at once, at most; a model whose projector reads each by itself hears them alone."""

AT_HAND = 64
"""Clips among which those of one form are looked for."""

OF_TEXT = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
"""What a model takes of the text, as long as that is; everything else is of the sound."""


class _Heard(Exception):
    """Ends a forward pass where the projector begins."""


@dataclass
class AudioLM:
    """An audio LM of transformers, or of the same form; see `rba.models.speechlm.SpeechLM` for the methods.

    `core` is the model of its real class, `lm.model` the same object or its PEFT wrapper. `source` is what the base
    model was opened by. The projector is kept in float32: it may be trained.
    """

    core: Any
    processor: Any
    lm: TextLM
    name: str
    source: str
    family: Family
    _frames: dict[tuple[System, int], list[list[int]]] = field(default_factory=dict)
    _at_once: int = TOGETHER

    @property
    def encoder_name(self) -> str:
        """All checkpoints of one base hear with the same tower."""
        return self.source

    @property
    def projector(self) -> Any:
        """The module between audio tower and LLM."""
        return projector_of(self.core, self.family)

    @torch.no_grad()
    def encode(self, waves: Sequence[np.ndarray]) -> list[torch.Tensor]:
        """What the projector reads [T_i, F] (CPU, the tower's precision).

        Not all towers mask the pads of a batch: a clip has none but those of its own processor, and goes through the
        tower together with clips that come out of it in the same shape.
        """
        windows = range(0, len(waves), AT_HAND)
        return [rows for start in windows for rows in self._encode(waves[start : start + AT_HAND])]

    def _encode(self, waves: Sequence[np.ndarray]) -> list[torch.Tensor]:
        """The same of a few clips, whose inputs are all at hand."""
        made = [self.inputs(wave) for wave in waves]
        alike: dict[tuple[Any, ...], list[int]] = {}
        for number, inputs in enumerate(made):
            alike.setdefault(_form(inputs), []).append(number)
        found: dict[int, torch.Tensor] = {}
        for numbers in alike.values():
            while numbers:
                part, numbers = numbers[: self._at_once], numbers[self._at_once :]
                heard = self._heard([made[number] for number in part])
                found |= {number: rows.cpu() for number, rows in zip(part, heard, strict=True)}
        return [found[number] for number in range(len(waves))]

    def prompts(self, features: Sequence[Clips], system: System = None) -> list[torch.Tensor]:
        """Prompt embeddings [T_i, D]: the template's rows around and between the clips, and the projected audio.

        Raises ModelError for several clips in a prompt where the family's processor takes one.
        """
        prompts = [clips_of(heard) for heard in features]
        frames = {count: [self.lm.embed(ids) for ids in self._frame(system, count)] for count in {*map(len, prompts)}}
        return [self._prompt(clips, frames[len(clips)]) for clips in prompts]

    def _prompt(self, clips: Sequence[torch.Tensor], frame: Sequence[torch.Tensor]) -> torch.Tensor:
        before, *after = frame
        return torch.cat([before, *(rows for clip, end in zip(clips, after) for rows in (self._rows(clip, end), end))])

    def text_prompts(self, texts: Sequence[str], system: System = None) -> list[torch.Tensor]:
        """Prompt embeddings [T_i, D] of the same requests typed, through the same template."""
        return [self.lm.embed(turns.typed_ids(self.lm.tokenizer, text, system)) for text in texts]

    @torch.no_grad()
    def listen(self, features: Sequence[Clips], system: System = None) -> tuple[list[torch.Tensor], None]:
        """`prompts` without gradients; no words can be read off before the LLM answers."""
        return self.prompts(features, system), None

    def connector_parameters(self) -> Iterator[torch.nn.Parameter]:
        """The projector's weights."""
        return self.projector.parameters()

    def lora_targets(self, targets: str | list[str]) -> str | list[str]:
        """PEFT targets that stay inside the LLM's blocks: all their linear layers, or those of the names given.

        Any other string is a pattern of the user's own and stays as it is.
        """
        if isinstance(targets, str) and targets != "all-linear":
            return targets
        blocks = backbone(self.lm.model).layers  # beside them an LLM may hold the towers
        place = next(name for name, module in self.core.named_modules() if module is blocks)
        linear = {name: name.rpartition(".")[2] for name in linear_layers(blocks)}
        names = sorted(set(linear.values()) if targets == "all-linear" else targets)
        if any(parameter.ndim > 2 for parameter in blocks.parameters()):
            # of a model with experts in one matrix, PEFT takes the last names out of a pattern, wherever they stand
            return [f"{place}.{name}" for name, last in linear.items() if last in names]
        return rf"{place.replace('.', '[.]')}[.](.*[.])?({'|'.join(names)})"

    def save(self, folder: Path) -> None:
        """Write `speechlm.json`, `projector.safetensors` and, with LoRA, `adapter/`; the base by name."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        facts = {"family": self.core.config.model_type, "model": self.source}
        (folder / "speechlm.json").write_text(json.dumps(facts | facts_of_llm(self.lm), indent=1) + "\n")
        state = {k: v.detach().float().cpu().contiguous() for k, v in self.projector.state_dict().items()}
        save_file(state, folder / PROJECTOR)
        if has_lora(self.lm):
            save_lora(self.lm, folder / FOLDER)

    def inputs(self, heard: np.ndarray | Sequence[np.ndarray], system: System = None) -> dict[str, torch.Tensor]:
        """What the model's own forward takes for one spoken request of a clip, or of several, on its device.

        Raises ModelError for several where the family's processor takes one.
        """
        waves = clips_of(heard)
        text, text_kwargs = self._turn(system, len(waves))
        audio_kwargs = {"sampling_rate": SAMPLE_RATE, **self.family.audio_kwargs}
        kwargs = {"return_tensors": "pt", "text_kwargs": text_kwargs, "audio_kwargs": audio_kwargs}
        try:
            made = self.processor(text=[text], audio=waves, **kwargs)
        except ValueError as error:
            if len(waves) == 1:
                raise
            raise self._only_one() from error
        made.convert_to_tensors("pt")  # some releases of transformers leave the token ids as they are
        return {k: self._here(v) for k, v in made.items()}

    def _turn(self, system: System, clips: int) -> tuple[str, dict[str, bool]]:
        """The text of a spoken request, a mark in the place of each clip, and what its tokenizer is to be told."""
        text = turns.render(self.lm.tokenizer, turns.AUDIO, system, self.processor.audio_token, clips=clips)
        return text, {"add_special_tokens": not turns.starts_whole(self.lm.tokenizer, text)}

    def _only_one(self) -> ModelError:
        return only_one(f"the processor of {self.family.title}", self.name)

    def _here(self, value: torch.Tensor) -> torch.Tensor:
        """On the model's device, numbers in its precision."""
        return value.to(self.lm.device, self.core.dtype if value.is_floating_point() else value.dtype)

    def _bare_inputs(self, system: System, clips: int = 1) -> dict[str, torch.Tensor]:
        """The same for clips in which nothing is said, all equally long."""
        return self.inputs([np.zeros(SAMPLE_RATE, np.float32)] * clips, system)

    def _heard(self, clips: Sequence[dict[str, torch.Tensor]]) -> list[torch.Tensor]:
        """The rows [T_i, F] that the projector is given for clips of one form, pads left out."""
        caught: list[torch.Tensor] = []

        def stop(module: Any, args: tuple[torch.Tensor, ...], kwargs: dict[str, torch.Tensor]) -> None:
            caught.append(next(iter([*args, *kwargs.values()])))
            raise _Heard

        hook = first(self.projector).register_forward_pre_hook(stop, prepend=True, with_kwargs=True)
        try:
            self.core(**self._together(clips))
        except _Heard:
            pass
        finally:
            hook.remove()
        if not caught:
            raise ModelError("the model's forward pass does not reach its projector", self.name, "report this family")
        places = [int(self._places(inputs["input_ids"][0]).sum()) for inputs in clips]
        rows = _by_clip(caught[0], places)
        short = self.family.row_by_row and any(len(row) < count for row, count in zip(rows, places))
        if len(clips) > 1 and (short or len(rows) != len(clips)):
            # Qwen2.5-Omni's projector reads one clip after the other in older releases of transformers
            self._at_once = 1
            return [row for inputs in clips for row in self._heard([inputs])]
        return [row[:count] for row, count in zip(rows, places)] if self.family.row_by_row else rows

    def _together(self, clips: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """The inputs of clips of one form as one batch, their text padded on the left."""
        batch = {}
        for name in clips[0]:
            values = [inputs[name] for inputs in clips]
            if name in OF_TEXT:
                pad = self.lm.end_ids[0] if name == "input_ids" else 0
                batch[name] = pad_sequence([v[0] for v in values], True, pad, "left")
            else:
                batch[name] = torch.cat(values)
        return batch

    def _rows(self, feature: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """What the LLM is given for one clip [T, D], as wide as the rows of `words`."""
        return as_wide(self._project(feature).to(words), words, self._passes_for())

    def _project(self, feature: torch.Tensor) -> torch.Tensor:
        rows = self.projector(feature[None].to(self.lm.device))
        return rows.reshape(-1, rows.shape[-1])

    def _passes_for(self) -> int:
        """The token that what is heard is, to blocks that read token ids beside rows."""
        # where blocks read none, an LLM may have no pad
        return int(self.core.config.get_text_config().pad_token_id or 0)

    def _places(self, ids: torch.Tensor) -> torch.Tensor:
        return ids == self.lm.tokenizer.convert_tokens_to_ids(self.processor.audio_token)

    def _frame(self, system: System, clips: int = 1) -> list[list[int]]:
        """The processor's token ids before, between and after those of so many clips."""
        if (system, clips) not in self._frames:
            ids = self._bare_inputs(system, clips)["input_ids"][0]
            places = self._places(ids).nonzero()
            if clips > 1 and len(places) != clips * int(self._places(self._bare_inputs(system)["input_ids"]).sum()):
                raise self._only_one()
            runs = places.view(clips, -1)
            ends, starts = [0, *(runs[:, -1] + 1).tolist()], [*runs[:, 0].tolist(), len(ids)]
            self._frames[system, clips] = [ids[end:start].tolist() for end, start in zip(ends, starts)]
        return self._frames[system, clips]


def _form(inputs: dict[str, torch.Tensor]) -> tuple[Any, ...]:
    """What clips must have in common to be heard together: the shapes of all that is of the sound."""
    return tuple(sorted((name, tuple(value.shape)) for name, value in inputs.items() if name not in OF_TEXT))


def _by_clip(rows: torch.Tensor, places: Sequence[int]) -> list[torch.Tensor]:
    """What was caught of a batch, clip by clip [T_i, F]: a batch itself, or its rows one after the other.

    Those are as many as the clips have `places`, where their pads are left out already, or else equally many of each.
    """
    if rows.ndim > 2 and len(rows) == len(places):
        return list(rows.flatten(1, -2))
    flat = rows.reshape(-1, rows.shape[-1])
    return list(flat.split(list(places) if len(flat) == sum(places) else max(1, len(flat) // len(places))))


def open_audio_lm(
    source: str, dtype: str = AUTO, name: str = "", device: torch.device | None = None, quantize: str = NONE
) -> AudioLM:
    """Open a local folder or hub id of a known family as it was published; weights in `dtype`, the projector float32.

    It is put on `device`, or on CUDA where there is one; its LLM is rounded as `quantize` says
    (`rba.lm.quantization`).

    Raises ModelError where it cannot be opened, is of another family, carries an adapter, or its chat template has no
    place for audio.
    """
    from transformers import PreTrainedConfig
    from transformers.utils import logging

    check_whole(source)
    logging.disable_progress_bar()
    with opening(
        "the audio LM", source, "give a whole local folder or a hub id that you can reach, or install what it needs"
    ):
        # not by AutoConfig, which asks whether to run the code that an Ultravox brings along
        family = family_of(PreTrainedConfig.get_config_dict(source)[0].get("model_type", ""), source)
        opener = pkgutil.resolve_name(family.opener) if family.opener else partial(_of_transformers, family)
        core, processor = opener(source, number_format(dtype))
    if hasattr(core, "peft_config"):
        fix = "merge it into the weights and save the model, then name that folder"
        raise ModelError("the audio LM carries an adapter of its own", source, fix)
    place_on = device or pick_device()
    quantization.quantize(core, quantize, place_on, number_format(dtype, place_on))
    opened = wrap(core.to(place_on), processor, family, source, name or source)
    opened.lm.quantize = quantize
    return opened


def _of_transformers(family: Family, source: str, dtype: torch.dtype) -> tuple[Any, Any]:
    """A model of transformers' own class, and its processor."""
    if reason := lacking(family):
        raise ModelError(reason, source, "upgrade it")
    processor = pkgutil.resolve_name(family.processor)(source)
    return with_own_adapter(class_of(family).from_pretrained(source, dtype=dtype), family, source), processor


def wrap(core: Any, processor: Any, family: Family, source: str, name: str) -> AudioLM:
    """A loaded model and its processor as a SpeechLM, frozen. Raises ModelError for a template without audio."""
    tokenizer = processor.tokenizer
    tokenizer.chat_template = tokenizer.chat_template or processor.chat_template
    tokenizer.padding_side = "left"
    if not tokenizer.chat_template:
        raise ModelError("the audio LM has no chat template", name, "choose an instruction-tuned model")
    try:
        turns.render(tokenizer, turns.AUDIO, None, processor.audio_token)
    except ModelError as error:
        raise ModelError(error.what, name, error.fix) from error
    core = core.eval().requires_grad_(False)
    try:
        in_float32(core, family)
    except AttributeError as error:
        fix = "choose a checkpoint that hears"
        raise ModelError(f"this {family.title} cannot hear", name, fix) from error
    fit(core)
    lm = TextLM(core, tokenizer, source, turns.end_ids(tokenizer, core))
    kind = pkgutil.resolve_name(family.speechlm) if family.speechlm else AudioLM
    return kind(core, processor, lm, name, source, family)


def restore(model: AudioLM, folder: Path) -> None:
    """Give a base `model` the projector and the adapter of a checkpoint folder. Raises ModelError if they don't fit."""
    from safetensors.torch import load_file

    try:
        model.projector.load_state_dict(load_file(folder / PROJECTOR))
    except (OSError, RuntimeError) as error:
        fix = "the base model has changed or the folder is incomplete: align again"
        raise ModelError("the projector does not fit its base model", str(folder), fix) from error
    if (folder / FOLDER).is_dir():
        load_lora(model.lm, folder / FOLDER)
