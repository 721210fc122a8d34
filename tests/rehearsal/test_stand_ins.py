"""Every name of a recipe has a stand-in of its own, so that a fault is told with the name whose fault it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from rba.rehearsal.stand_ins import StandIns


@pytest.fixture
def made(tmp_path: Path) -> StandIns:
    """Stand-ins of a dry run."""
    return StandIns(tmp_path, "http://127.0.0.1:9/v1", "http://127.0.0.1:8/v1")


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("llm", ("org/a", "org/b", "openai:http://h/v1#m", "openai:http://other/v1#m")),
        ("judge", ("org/a", "org/b")),
        ("embedder", ("org/a", "org/b")),
        ("recogniser", ("whisper-tiny.en", "whisper-base", "openai:http://h/v1#m", "openai:http://h/v1?retries=0#m")),
        ("reward_model", ("org/a", "org/b")),
        ("encoder", ("whisper-base", "whisper-tiny.en")),
        ("engine", ("openai:http://h/v1?voices=a#m", "openai:http://other/v1?voices=a#m")),
        ("rollout_server", ("openai:http://h/v1#m", "openai:http://other/v1#m")),
    ],
)
def test_a_fault_is_told_with_the_name_whose_stand_in_it_is(made: StandIns, kind: str, names: tuple[str, ...]):
    places = [getattr(made, kind)(name) for name in names]
    assert len(set(places)) == len(names)
    assert [made.given_back(f"{place} fails") for place in places] == [f"{name} fails" for name in names]
    assert made.told.keys() == set(names)


def test_a_name_is_stood_in_for_once_a_kind(made: StandIns):
    first, again, marks = made.llm("org/a"), made.llm("org/a"), made.judge("org/a")
    assert first == again != marks
    assert made.told == {"org/a": "a tiny Llama; a tiny Llama that writes marks"}
    assert made.given_back(f"{marks} and {first}") == "org/a and org/a"


def test_ten_names_do_not_begin_like_the_first(made: StandIns):
    places = [made.llm(f"openai:http://h{number}/v1#m") for number in range(12)]
    assert [made.given_back(place) for place in places] == [f"openai:http://h{number}/v1#m" for number in range(12)]
