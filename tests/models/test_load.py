"""Checkpoint folders that are damaged are refused in one line that names the file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from rba.errors import ModelError
from rba.models.adapters import add_lora, has_lora
from rba.models.load import connector_files, load_speechlm
from rba.push import check_folder
from rba.testing.tiny_audio_lm import save_tiny_audio_lm
from rba.testing.tiny_speechlm import save_tiny_speechlm


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compact checkpoint with an adapter."""
    folder = save_tiny_speechlm(tmp_path_factory.mktemp("load") / "plain")
    model = load_speechlm(folder)
    add_lora(model, 2, 4)
    model.save(folder.with_name("whole"))
    shutil.copy(folder / "speechlm.json", folder.with_name("whole"))
    return folder.with_name("whole")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("file", "place"),
    [
        ("speechlm.json", "speechlm.json"),
        ("connector.safetensors", "connector.safetensors"),
        ("adapter/adapter_model.safetensors", "adapter"),
        ("adapter/adapter_config.json", "adapter"),
    ],
)
def test_a_file_that_is_cut_off_is_named(whole: Path, tmp_path: Path, file: str, place: str):
    folder = shutil.copytree(whole, tmp_path / "cut")
    load_speechlm(folder)
    cut(folder / file)
    with pytest.raises(ModelError, match=r"this checkpoint is damaged: .*copy the whole checkpoint folder") as caught:
        load_speechlm(folder)
    assert caught.value.where == str(folder / place)


@pytest.mark.parametrize("facts", [None, [], {"llm": "a", "encoder": "b"}])
def test_facts_that_lack_a_part_are_refused(whole: Path, tmp_path: Path, facts: object):
    folder = shutil.copytree(whole, tmp_path / "cut")
    (folder / "speechlm.json").write_text(json.dumps(facts))
    with pytest.raises(ModelError, match=r"this checkpoint is damaged.*speechlm\.json"):
        connector_files(folder)


def adapted(base: Path, folder: Path) -> Path:
    """A checkpoint that says of its adapter that it has one."""
    model = load_speechlm(base)
    add_lora(model, 2, 4)
    model.save(folder)
    return folder


@pytest.mark.parametrize("save", [save_tiny_speechlm, save_tiny_audio_lm])
def test_a_copy_that_lost_its_adapter_is_not_taken_for_the_model_before_alignment(save: Callable, tmp_path: Path):
    folder = adapted(save(tmp_path / "base"), tmp_path / "aligned")
    assert has_lora(load_speechlm(folder).lm)
    shutil.rmtree(folder / "adapter")
    lost = r"this checkpoint is damaged: its folder adapter is missing .*aligned.*copy the whole checkpoint folder"
    with pytest.raises(ModelError, match=lost):
        load_speechlm(folder)
    (folder / "README.md").write_text("card")
    with pytest.raises(ModelError, match=lost):
        check_folder(folder)


def test_a_folder_that_says_nothing_of_its_adapter_opens_with_it(whole: Path):
    assert "adapter" not in json.loads((whole / "speechlm.json").read_text())
    assert has_lora(load_speechlm(whole).lm)


def test_an_audio_lm_with_a_cut_projector_is_refused(tmp_path: Path):
    model = load_speechlm(save_tiny_audio_lm(tmp_path / "base"))
    model.save(tmp_path / "aligned")
    load_speechlm(tmp_path / "aligned")
    cut(tmp_path / "aligned" / "projector.safetensors")
    with pytest.raises(ModelError, match="this checkpoint is damaged"):
        load_speechlm(tmp_path / "aligned")


def test_an_adapter_of_another_llm_is_refused(whole: Path, tmp_path: Path):
    folder = tmp_path / "other"
    shutil.copytree(whole, folder)
    path = folder / "adapter" / "adapter_model.safetensors"
    save_file({name: weight.repeat(2, 2) for name, weight in load_file(path).items()}, path, {"format": "pt"})
    with pytest.raises(ModelError, match=r"this checkpoint is damaged: .*size mismatch for .*lora_A"):
        load_speechlm(folder)
