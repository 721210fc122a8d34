"""An aligned model for plain transformers: the LLM with its adapter merged in, and the connector's weights.

An audio LM becomes a whole model of its own class again; one that transformers has no class for, in its own layout.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from rba.files import write_json
from rba.lm.task import preamble_of
from rba.models import turns
from rba.models.families import AUTO, PROJECTOR
from rba.models.load import connector_files, load_merged
from rba.models.told import task_of
from rba.report.usage import Usage, of_audio_lm, of_llm, of_own_layout


def write(folder: Path, checkpoint: Path) -> Usage:
    """Write the LLM of a checkpoint folder in float32 with its tokenizer, `connector.safetensors` and its facts.

    In float32 because a merged weight in half precision forgets what moves it by less than half a step.
    `connector.json` names the speech encoder and the connector's sizes. Returns how the folder is opened.
    """
    if (checkpoint / PROJECTOR).is_file():
        return _write_audio_lm(folder, checkpoint)
    facts, _ = connector_files(checkpoint)
    speechlm = load_merged(checkpoint)
    lm = speechlm.lm
    model = lm.model.merge_and_unload() if hasattr(lm.model, "peft_config") else lm.model
    # plain generate() is to end where rba's does
    model.generation_config.eos_token_id = list(lm.end_ids)
    model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    shutil.copyfile(checkpoint / "connector.safetensors", folder / "connector.safetensors")
    write_json(folder / "connector.json", {"encoder": facts["encoder"], "connector": facts["connector"]})
    return of_llm(facts["encoder"], task_of(speechlm))


def _write_audio_lm(folder: Path, checkpoint: Path) -> Usage:
    """The whole audio LM with adapter and projector merged in, and its processor."""
    speechlm: Any = load_merged(checkpoint)
    merged = hasattr(speechlm.lm.model, "peft_config")
    core = speechlm.lm.model.merge_and_unload() if merged else speechlm.core
    core.generation_config.eos_token_id = list(speechlm.lm.end_ids)
    core.save_pretrained(folder)
    processor = speechlm.processor
    processor.save_pretrained(folder)
    family = speechlm.family
    if family.opener or family.processor != AUTO:
        # the processors that rba opens without their eyes, AutoProcessor takes for no more than a tokenizer
        return of_own_layout(family.title, task_of(speechlm), "" if family.opener else type(core).__name__)
    told = preamble_of(task_of(speechlm))
    prompt = turns.render(processor.tokenizer, turns.AUDIO, told, processor.audio_token)
    whole = turns.starts_whole(processor.tokenizer, prompt)
    return of_audio_lm(type(core).__name__, prompt, whole, family.audio_kwargs)
