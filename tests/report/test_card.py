"""Model cards: true, complete, and never over a person's own words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rba import document
from rba.lm.task import TaskSettings
from rba.report import card
from rba.workspace import Workspace, write_json
from report.fake_run import make_run, recipe_for


@pytest.fixture
def published(tmp_path: Path) -> Workspace:
    workspace = make_run(tmp_path / "run", instructions=10, voices=1, seconds=0.2)
    names = {"encoder": "whisper-tiny.en", "llm": "smollm2-135m-instruct", "connector": {}}
    for method in ("sft", "rba-group"):
        write_json(workspace.root / "final" / method / "speechlm.json", names)
    return workspace


def test_every_published_model_gets_a_card(published: Workspace) -> None:
    written = card.write(published, recipe_for(published.root))
    assert [path.parent.name for path in written] == ["sft", "rba-group"]


def test_the_front_matter_names_bases_and_licence(published: Workspace) -> None:
    text = card.write(published, recipe_for(published.root))[1].read_text()
    front = document.parse(text.split("---\n")[1], "card")
    assert front["base_model"] == ["openai/whisper-tiny.en", "HuggingFaceTB/SmolLM2-135M-Instruct"]
    assert front["license"] == "apache-2.0" and "rba-group" in front["tags"]


def test_a_card_tells_results_data_limits_and_how_to_load(published: Workspace) -> None:
    text = card.write(published, recipe_for(published.root))[1].read_text()
    assert "| **RBA-Group** | 0.400 (0.379 – 0.421) |" in text
    for said in ("synthetic", 'rba.load_speechlm("final/rba-group")', "| test | 2 | 2 |", "beta: 0.1", "judge: recall"):
        assert said in text


def test_a_card_names_the_task_and_the_language_of_the_answers(published: Workspace) -> None:
    recipe = recipe_for(published.root)
    plain = card.write(published, recipe)[0].read_text()
    assert "Its task" not in plain and document.parse(plain.split("---\n")[1], "card")["language"] == ["en"]
    told = replace(recipe, task=TaskSettings("Into Spanish:\n{}", "es"))
    text = card.write(published, told)[0].read_text()
    assert "asked in the same words: `Into Spanish: {}`" in text
    assert document.parse(text.split("---\n")[1], "card")["language"] == ["en", "es"]


def test_the_tables_rows_all_have_the_same_number_of_cells(published: Workspace) -> None:
    text = card.write(published, recipe_for(published.root))[0].read_text()
    table = [line for line in text.split("## Results")[1].split("## Data")[0].splitlines() if line.startswith("|")]
    assert len(table) == 9 and len({line.count("|") for line in table}) == 1


def test_an_edited_card_stays(published: Workspace) -> None:
    path = card.write(published, recipe_for(published.root))[0]
    path.write_text("# Mine\n")
    assert path not in card.write(published, recipe_for(published.root))
    assert path.read_text() == "# Mine\n"


def test_the_card_that_training_left_is_replaced(published: Workspace) -> None:
    for place in ("align/sft/model", "final/sft"):
        folder = published.root / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "README.md").write_text("# sft\n")
    card.write(published, recipe_for(published.root))
    assert card.MARK in (published.root / "final" / "sft" / "README.md").read_text()


def test_a_run_without_results_has_cards_that_say_so(tmp_workspace: Workspace) -> None:
    (tmp_workspace.root / "final" / "sft").mkdir(parents=True)
    (path,) = card.write(tmp_workspace, recipe_for(tmp_workspace.root))
    assert "no evaluation yet" in path.read_text()
