"""Pushing a model to a hub: what arrives, who may see it, and every way in which it fails."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from unittest.mock import create_autospec

import pytest
from fake_hub import FakeHub, serving
from huggingface_hub import HfApi

from rba import cli
from rba.errors import DataError, ModelError, RbaError, RecipeError
from rba.push import check_folder, push

TOKEN = "hf_secret"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A checkpoint folder, as small as it can be."""
    folder = tmp_path / "final" / "rba-group"
    (folder / "adapter").mkdir(parents=True)
    (folder / ".cache").mkdir()
    (folder / "speechlm.json").write_text(json.dumps({"llm": "org/llm", "encoder": "whisper-tiny.en"}))
    (folder / "README.md").write_text("---\nlibrary_name: rba\n---\n# A model\n")
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(bytes(range(256)))
    (folder / ".cache" / "notes").write_text("mine")
    (folder / ".env").write_text("secret")
    return folder


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    # the streamed upload is a service of its own, which no few routes can stand for
    monkeypatch.setattr("huggingface_hub.hf_api.is_xet_available", lambda: False, raising=False)


def test_the_whole_folder_arrives_but_for_hidden_files_in_a_private_repository(model: Path, online: None):
    with serving(FakeHub()) as hub:
        assert push(model, "org/name", api=HfApi(hub.url, token=TOKEN)) == f"{hub.url}/org/name"
    arrived = {"README.md", "speechlm.json", "adapter/adapter_model.safetensors"}
    assert hub.files == {name: (model / name).read_bytes() for name in arrived}
    assert hub.private == {"org/name": True} and hub.tokens == {f"Bearer {TOKEN}"}


def test_a_second_push_goes_to_the_same_repository(model: Path, online: None):
    with serving(FakeHub()) as hub:
        api = HfApi(hub.url, token=TOKEN)
        push(model, "org/name", api=api)
        (model / "README.md").write_text("---\nlibrary_name: rba\n---\n# Better words\n")
        push(model, "org/name", api=api)
    assert b"Better words" in hub.files["README.md"]


def test_nobody_writes_to_a_public_repository_without_saying_so(model: Path, online: None):
    with serving(FakeHub(private={"org/name": False})) as hub:
        api = HfApi(hub.url, token=TOKEN)
        with pytest.raises(RbaError, match=r"public already.*--public"):
            push(model, "org/name", api=api)
        assert not hub.files
        push(model, "org/name", public=True, api=api)
        push(model, "org/other", public=True, api=api)
    assert hub.files and hub.private == {"org/name": False, "org/other": False}


def test_the_hubs_own_client_takes_what_it_is_given(model: Path):
    api = create_autospec(HfApi, instance=True, token=TOKEN, endpoint="https://hub")
    api.model_info.return_value.private = True
    push(model, "org/name", api=api)
    for name in ("create_repo", "model_info", "upload_folder"):
        (call,) = getattr(api, name).call_args_list
        inspect.signature(getattr(HfApi, name)).bind(None, *call.args, **call.kwargs)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "refuses the access token.*HF_TOKEN.*hf auth login"),
        (403, "may not write to this repository"),
        (500, "status 500.*same command again"),
    ],
)
def test_a_refusal_is_one_line_without_the_token(model: Path, online: None, status: int, says: str):
    with serving(FakeHub(refuse=status)) as hub, pytest.raises(RbaError, match=says) as caught:
        push(model, "org/name", api=HfApi(hub.url, token=TOKEN))
    assert "\n" not in str(caught.value) and TOKEN not in str(caught.value)


def test_a_hub_that_is_not_there_is_named(model: Path, online: None):
    with pytest.raises(RbaError, match=r"cannot be reached.*127.0.0.1:9.*same command again"):
        push(model, "org/name", api=HfApi("http://127.0.0.1:9", token=TOKEN))


def test_without_a_token_or_a_network_the_command_ends_with_one_line(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    assert cli.main(["push", str(model), "org/name"]) == 2
    line = capsys.readouterr().err
    assert "no access token of the hub" in line and "HF_TOKEN" in line and line.count("\n") == 1
    monkeypatch.setattr("huggingface_hub.get_token", lambda: TOKEN)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert cli.main(["push", str(model), "org/name", "--public"]) == 2
    line = capsys.readouterr().err
    assert "switched off" in line and "HF_HUB_OFFLINE" in line and line.count("\n") == 1


@pytest.mark.parametrize("name", ["name", "org/", "org/na me", "a/b/c", "org/na--me", "org/name.git"])
def test_a_name_that_no_repository_can_have_is_refused(model: Path, name: str, online: None):
    with serving(FakeHub()) as hub, pytest.raises(RecipeError, match="no repository can have this name"):
        push(model, name, api=HfApi(hub.url, token=TOKEN))
    assert not hub.private and not hub.files


def test_what_is_no_model_has_no_card_or_names_this_machine_stays_here(model: Path, tmp_path: Path):
    with pytest.raises(DataError, match=r"no model here.*rba export"):
        push(tmp_path, "org/name")
    (model / "speechlm.json").write_text(json.dumps({"llm": str(tmp_path), "encoder": "whisper-tiny.en"}))
    with pytest.raises(DataError, match=r"its llm is a folder of this machine.*rba export"):
        push(model, "org/name")
    (model / "README.md").unlink()
    with pytest.raises(DataError, match="no card"):
        push(model, "org/name")


@pytest.mark.parametrize("text", ['{"llm": "org/l', "[]", "\xff"])
def test_a_damaged_checkpoint_is_one_line(model: Path, text: str):
    (model / "speechlm.json").write_text(text, encoding="latin-1")
    with pytest.raises(ModelError, match=r"this checkpoint is damaged.*speechlm\.json.*copy the whole"):
        push(model, "org/name")


def test_a_name_of_the_registry_is_no_folder_of_this_machine(model: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "whisper-tiny.en").mkdir()
    check_folder(model)
