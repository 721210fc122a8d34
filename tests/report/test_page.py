"""The page: whole, self-contained, safe, the same every time, and patient with what is missing."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import soundfile

from rba.alignment.objectives import available
from rba.alignment.settings import AlignSettings
from rba.errors import DataError
from rba.evaluation.results import Result, load_results, write_results
from rba.report import names, page
from rba.workspace import Workspace
from report.fake_run import HOSTILE, make_run, recipe_for

SECTIONS = ("results", "training", "data", "samples", "recipe")
VOID = {"meta", "input", "br", "link", "img"}


class Outline(HTMLParser):
    """Collects ids, what would be fetched, scripts, and whether elements close in order."""

    def __init__(self, text: str):
        super().__init__()
        self.ids: list[str] = []
        self.fetched: list[str] = []
        self.scripts = 0
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in values:
            self.ids.append(values["id"] or "")
        self.scripts += tag == "script"
        self.fetched += [v for k, v in attrs if k in ("src", "srcset", "poster", "data", "action") and v]
        self.fetched += [values["href"] or ""] if tag == "link" else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()


def samples_of(html: str) -> list[dict[str, Any]]:
    found = re.search(r'<script type="application/json" id="sample-data">(.*?)</script>', html, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_every_section_is_there_and_elements_close_in_order(html: str) -> None:
    outline = Outline(html)
    assert [i for i in outline.ids if i in SECTIONS] == list(SECTIONS)
    assert not outline.open
    assert len(set(outline.ids)) == len(outline.ids)
    assert "No results yet" not in html and "No samples yet" not in html


def test_nothing_is_fetched_from_elsewhere(html: str) -> None:
    assert Outline(html).fetched == []
    assert re.findall(r"@import|url\(|fetch\(|XMLHttpRequest", html) == []
    assert set(re.findall(r"https?://[^\s\"'<]+", html)) <= {"http://www.w3.org/2000/svg"}


def test_texts_of_instructions_cannot_become_markup(html: str) -> None:
    assert "<script>alert" not in html and "<b>smile" not in html
    assert Outline(html).scripts == 2
    assert any(sample["text"] == HOSTILE for sample in samples_of(html))


def test_model_and_metric_names_are_escaped(tmp_path: Path) -> None:
    workspace = make_run(tmp_path / "run", instructions=10, voices=1, seconds=0.2)
    path = workspace.root / "evaluation" / "results.json"
    path.write_text(path.read_text().replace('"rba-group"', '"<img src=x>"').replace("win_rate:recall", "win_rate:<i>"))
    html = page.html(workspace, recipe_for(tmp_path))
    assert "<img" not in html and "<i>" not in html
    assert "&lt;img src=x&gt;" in html


def test_the_same_run_gives_the_same_bytes(html: str, fake_run: Workspace) -> None:
    assert page.html(fake_run, recipe_for(Path("runs/fake-run"))) == html


def test_clips_can_be_decoded(html: str) -> None:
    uris = [voice["audio"] for sample in samples_of(html) for voice in sample["voices"] if "audio" in voice]
    assert len(uris) >= 20
    for uri in uris[:4]:
        kind, _, text = uri.partition(",")
        assert kind == "data:audio/ogg;base64"
        wave, rate = soundfile.read(io.BytesIO(base64.b64decode(text)))
        assert rate == 16_000 and 0.25 < len(wave) / rate < 0.8 and abs(wave).max() > 0.05


def test_a_sample_shows_what_was_heard_and_every_answer(html: str) -> None:
    sample = next(s for s in samples_of(html) if "violin" in s["text"])
    voice = sample["voices"][0]
    assert "violet" in voice["heard"]
    assert [name for name, *_ in voice["answers"]] == [
        "Base",
        "SFT",
        "RBA-Single",
        "RBA-Group",
        "Text input",
        "Cascade",
    ]
    cascade = voice["answers"][-1]
    assert "violin" in cascade[3], "the recogniser heard something else than the connector"
    assert sample["teacher"].startswith("It depends")


def test_samples_are_held_out_and_spread_over_topics(html: str) -> None:
    topics = [sample["topic"] for sample in samples_of(html)]
    assert len(topics) == 12
    assert len(set(topics[: len(set(topics))])) == len(set(topics))


def test_results_show_intervals_judges_and_the_best(html: str) -> None:
    assert "judge: recall" in html and "judge: similarity" in html
    assert "<small>0.379 – 0.421</small>" in html
    assert re.search(r'RBA-Group</span></th><td class="best">0.400<small>', html)
    assert "0.030 above SFT (within chance)" in html
    assert "0.090 above the base model" in html


def test_data_and_cost_are_told(html: str) -> None:
    for said in ("none of the test speakers", "Near duplicate", "paper 60.3 %", "3 min 01 s", "3.4 GiB"):
        assert said in html


def test_the_command_and_the_whole_recipe_close_the_page(html: str) -> None:
    assert "rba run runs/fake-run/config.yaml" in html
    assert "groups_per_step: 4" in html


def test_it_stays_small(html: str) -> None:
    assert len(html.encode()) < 1_500_000


def test_budgets_bound_the_largest_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rba.report import samples

    monkeypatch.setattr(samples, "MAX_AUDIO_CHARS", 10_000)
    monkeypatch.setattr(samples, "MAX_TEXT_CHARS", 5_000)
    listed = samples_of(page.html(make_run(tmp_path, 30, 2, 0.3), recipe_for(tmp_path)))
    spoken = [len(voice.get("audio", "")) for sample in listed for voice in sample["voices"]]
    assert 0 < sum(spoken) <= 10_000
    assert 0 < len(listed) < 6


def test_an_empty_run_says_what_is_missing(tmp_workspace: Workspace) -> None:
    path = page.write(tmp_workspace, recipe_for(tmp_workspace.root))
    assert path == tmp_workspace.root / "report.html"
    html = path.read_text()
    for said in (
        "no evaluation yet",
        "No results yet",
        "No training was logged",
        "No instructions yet",
        "No samples yet",
    ):
        assert said in html
    assert not Outline(html).open


@pytest.mark.parametrize("lost", ["synthesis", "speech", "connect", "evaluation", "metrics.jsonl"])
def test_any_part_may_be_missing(lost: str, tmp_path: Path) -> None:
    workspace = make_run(tmp_path, instructions=10, voices=1, seconds=0.2)
    path = workspace.root / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert not Outline(page.html(workspace, recipe_for(tmp_path))).open


def test_clips_that_cannot_be_decoded_are_left_out(tmp_path: Path) -> None:
    from dataclasses import replace

    from rba.data.utterance import Utterance

    workspace = make_run(tmp_path, instructions=10, voices=1, seconds=0.2)
    folder = workspace.stage("speech")
    folder.write_shard(0, [replace(u, audio=b"noise") for u in folder.read(Utterance)], Utterance)
    folder.shard(1).unlink()
    html = page.html(workspace, recipe_for(tmp_path))
    assert samples_of(html) and '"audio"' not in html


def test_a_damaged_shard_is_an_error_that_names_it(tmp_path: Path) -> None:
    workspace = make_run(tmp_path, instructions=5, voices=1, seconds=0.2)
    shard = workspace.stage("speech").shard(1)
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(DataError, match="part-00001"):
        page.write(workspace, recipe_for(tmp_path))
    assert not (workspace.root / "report.html").exists()


def test_every_model_has_a_colour_of_its_own(html: str) -> None:
    colours = dict(re.findall(r"\.(m-[\w-]+) \{ --c: ([^;]+); \}", html))
    of_models = [colours[names.model_class(name)] for name in names.MODELS]
    assert len(set(of_models)) == len(of_models)
    assert set(available()) <= set(names.MODELS)
    assert not set(names.OWN_COLOURS) & set(of_models)


def test_variants_have_colours_in_their_order(tmp_path: Path) -> None:
    workspace = make_run(tmp_path / "run", instructions=4)
    variants = {f"group-{i}.5": {"method": "rba-group"} for i in range(9)}
    align = AlignSettings(methods=("sft",), variants=variants)
    shown = page.html(workspace, replace(recipe_for(tmp_path / "run"), align=align))
    colours = dict(re.findall(r"\.(m-[\w-]+) \{ --c: ([^;]+); \}", shown))
    own = [colours[names.model_class(name)] for name in variants]
    assert tuple(own[:8]) == names.OWN_COLOURS and own[8] == own[0]


def test_every_listening_condition_of_every_benchmark_is_shown(tmp_path: Path) -> None:
    workspace = make_run(tmp_path / "run", instructions=4)
    rows = load_results(workspace.root)
    rows += [
        Result(model, "robustness", condition, "clean_share", "", share, share - 0.1, share + 0.1, 24, 0)
        for model, share in (("base", 0.71), ("sft", 0.83))
        for condition in ("clean", "noise-10", "hall")
    ]
    write_results(workspace.stage("evaluation").path / "results.json", rows)
    shown = unescape(re.sub("<[^>]*>", " ", page.html(workspace, recipe_for(Path("runs/fake-run")))))
    text = " ".join(shown.split())
    assert re.search(r"Robustness: Of clean Model Clean % ↑ Noise 10 % ↑ Hall % ↑ Base 71.0 61.0", text)
    assert "Held-out speech: Reference-word recall" in text


def test_topics_are_shown(tmp_path: Path) -> None:
    workspace = make_run(tmp_path / "run", instructions=4)
    assert "By topic" not in page.html(workspace, recipe_for(tmp_path / "run"))
    rows = load_results(workspace.root)
    rows += [
        Result("base", "heldout", f"topic:{t}", "recall", "", 0.25, 0.2, 0.3, 24, 0) for t in ("Planning", "Others")
    ]
    write_results(workspace.stage("evaluation").path / "results.json", rows)
    shown = page.html(workspace, recipe_for(tmp_path / "run"))
    assert "By topic and difficulty" in shown and "Held-out speech by topic: Reference-word recall" in shown


def test_win_rates_of_a_benchmark_are_shown_against_every_opponent(tmp_path: Path) -> None:
    workspace = make_run(tmp_path / "run", instructions=4)
    rows = load_results(workspace.root)
    rows += [
        Result("rba-group", "alpaca-eval", "all", "win_rate:recall", against, value, value - 0.1, value + 0.1, 24, 0)
        for against, value in (("base", 0.713), ("sft", 0.587))
    ]
    write_results(workspace.stage("evaluation").path / "results.json", rows)
    shown = unescape(re.sub("<[^>]*>", " ", page.html(workspace, recipe_for(Path("runs/fake-run")))))
    assert "Alpaca eval: Win rate judge: recall Base SFT RBA-Group 71.3" in " ".join(shown.split())


def test_what_an_earlier_recipe_left_in_the_folder_is_not_shown(tmp_path: Path) -> None:
    workspace = make_run(tmp_path / "run", instructions=4)
    shown = page.html(workspace, recipe_for(tmp_path / "run"))
    other = replace(recipe_for(tmp_path / "run"), model="shipped", align=AlignSettings(methods=("sft",)))
    left = page.html(workspace, other)
    assert "11.3" in shown and "align/rba-group" in shown
    assert "11.3" not in left and "align/rba-group" not in left


def test_win_rates_name_the_models_that_were_trained_for_what_the_judge_likes(fake_run: Workspace) -> None:
    both = replace(recipe_for(fake_run.root), align=AlignSettings(methods=("rba-group",), reward="recall + similarity"))
    assert page.html(fake_run, both).count("Trained for what this judge likes: RBA-Group.") == 4
