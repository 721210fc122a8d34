"""Inputs by URL: fetched once for each state, never half, and refused in one line where nothing is there."""

from __future__ import annotations

import uuid
from pathlib import Path

import fsspec
import pytest

from rba import inputs
from rba.errors import DataError, RbaError, RecipeError
from rba.inputs import given, is_url
from rba.recipe import load_recipe
from rba.steps import plan
from rba.store.place import Place
from rba.synthesis.texts import Given, read_texts
from rba.workspace import Workspace


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RBA_CACHE", str(tmp_path / "cache"))
    inputs._fetched.cache_clear()


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"memory://{uuid.uuid4().hex}" if request.param == "memory" else f"file://{tmp_path}/store"


def write(url: str, text: str) -> None:
    with fsspec.open(url, "w", auto_mkdir=True) as stream:
        stream.write(text)


def later() -> None:
    """As another process finds things."""
    inputs._fetched.cache_clear()


def test_what_is_a_url():
    assert all(map(is_url, ["s3://bucket/a.jsonl", "https://host/a.txt", "memory://a", "gs://b/c"]))
    assert not any(map(is_url, ["a/b.txt", "~/a", "openai:http://host/v1#m", "org/model", "", "C:/a", "./s3://a"]))


def test_a_path_of_this_machine_stays_as_it_is(tmp_path: Path):
    assert given(tmp_path / "a.txt") == tmp_path / "a.txt" and given("~/a") == Path.home() / "a"


def test_a_file_is_fetched_once_and_again_when_it_has_changed(url: str, monkeypatch: pytest.MonkeyPatch):
    write(f"{url}/texts.txt", "A cat.\n")
    assert read_texts(f"{url}/texts.txt") == [Given("A cat.")]
    first = given(f"{url}/texts.txt")
    later()
    with monkeypatch.context() as patch:
        patch.setattr(Place, "get", lambda *_: pytest.fail("it is here already"))
        assert given(f"{url}/texts.txt") == first
    write(f"{url}/texts.txt", "A cat and a dog.\n")
    assert read_texts(f"{url}/texts.txt") == [Given("A cat.")]  # one process sees one state
    later()
    assert (
        read_texts(f"{url}/texts.txt") == [Given("A cat and a dog.")] and given(f"{url}/texts.txt").name == "texts.txt"
    )


def test_a_folder_is_fetched_whole(url: str):
    for name in ("one/a.txt", "two/deep/b.txt", "c.txt"):
        write(f"{url}/people/{name}", name)
    folder = given(f"{url}/people/")
    found = {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}
    assert found == {name: name for name in ("one/a.txt", "two/deep/b.txt", "c.txt")}


def test_what_was_not_fetched_whole_is_not_taken(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name in "abc":
        write(f"{url}/people/{name}.txt", name)
    whole, left = Place.get, iter(range(2))

    def get(self, name, path):
        if next(left, None) is None:
            raise KeyboardInterrupt
        whole(self, name, path)

    with monkeypatch.context() as patch:
        patch.setattr(Place, "get", get)
        with pytest.raises(KeyboardInterrupt):
            given(f"{url}/people")
    assert not list((tmp_path / "cache").rglob("people"))
    assert len(list(given(f"{url}/people").iterdir())) == 3
    assert not list((tmp_path / "cache").rglob("*.arriving"))


def test_names_that_lead_out_of_the_folder_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(Place, "states", lambda self: {"a.txt": "1", "../b.txt": "2"})
    with pytest.raises(DataError, match="leads out of the folder"):
        given(f"memory://{uuid.uuid4().hex}")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("memory://nothing/here.txt", DataError, "there is nothing at this URL"),
        ("nowhere://a/b.txt", RecipeError, "cannot be opened"),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(name: str, kind: type[RbaError], says: str):
    with pytest.raises(kind, match=says) as error:
        given(name)
    assert "\n" not in str(error.value) and name in str(error.value)


def test_a_run_goes_by_the_state_of_its_inputs(url: str, tmp_path: Path):
    write(f"{url}/texts.txt", "A cat.\n")
    recipe = load_recipe("recipes/tiny.yaml", [f"synthesis.texts={url}/texts.txt", f"output={tmp_path / 'run'}"])

    def mark() -> str:
        later()
        workspace = Workspace(recipe.folder)
        (step,) = (step for step in plan(recipe, workspace) if step.name == "synthesis")
        return step.mark(workspace)

    first = mark()
    assert mark() == first
    write(f"{url}/texts.txt", "A dog, or two.\n")
    assert mark() != first


def test_a_run_folder_is_on_this_machine():
    with pytest.raises(RecipeError, match="rba upload"):
        load_recipe("recipes/tiny.yaml", ["output=s3://bucket/run"])
