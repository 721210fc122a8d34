"""An aligned model for plain transformers: the LLM with its adapter merged in, and the connector's weights."""

from __future__ import annotations

import shutil
from pathlib import Path

from rba.files import write_json
from rba.models.load import connector_files, load_speechlm


def write(folder: Path, checkpoint: Path) -> None:
    """Write the LLM of a checkpoint folder in float32 with its tokenizer, `connector.safetensors` and its facts.

    In float32 because a merged weight in half precision forgets what moves it by less than half a step.
    `connector.json` names the speech encoder and the connector's sizes.
    """
    facts, _ = connector_files(checkpoint)
    lm = load_speechlm(checkpoint, "float32").lm
    model = lm.model.merge_and_unload() if hasattr(lm.model, "peft_config") else lm.model
    # plain generate() is to end where rba's does
    model.generation_config.eos_token_id = list(lm.end_ids)
    model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    shutil.copyfile(checkpoint / "connector.safetensors", folder / "connector.safetensors")
    write_json(folder / "connector.json", {"encoder": facts["encoder"], "connector": facts["connector"]})
