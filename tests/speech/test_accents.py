from __future__ import annotations

import pytest

from rba.speech.accents import ACCENTS, MIX, RULES, active_rules, rewrite


def test_the_mixing_table_covers_every_accent_and_adds_up():
    assert set(MIX) == set(ACCENTS)
    assert sum(MIX.values()) == pytest.approx(1)


def test_every_accent_is_made_of_known_rules():
    assert all(rule in RULES for rules in ACCENTS.values() for rule in rules)


@pytest.mark.parametrize(
    ("rule", "before", "after"),
    [
        ("th to s", "θˈɪŋk", "sˈɪŋk"),
        ("final devoicing", "bˈæd dˈɔɡ.", "bˈæt dˈɔk."),
        ("s cluster", "skˈul stˈɑp, mˈɪst", "ɛskˈul ɛstˈɑp, mˈɪst"),
        ("drop coda r", "kˈɑɹ pˈɑɹk ɹˈOd vˈɛɹi", "kˈɑ pˈɑk ɹˈOd vˈɛɹi"),
        ("careful articles", "ðə mˈæn", "ði mˈæn"),
        ("tapped r", "vˈɛɹi ɹˈɛd", "vˈɛTi ɹˈɛd"),
        ("british trap", "kˈat haɪ", "kˈæt haɪ"),
    ],
)
def test_rules_change_the_sounds_they_name(rule, before, after):
    assert rewrite(before, (rule,)) == after


def test_a_speaker_keeps_the_same_rules():
    assert active_rules("es", 0.4, 5) == active_rules("es", 0.4, 5)
    assert len({active_rules("es", 0.4, seed) for seed in range(20)}) > 5


def test_strength_is_the_share_of_rules():
    assert active_rules("ru", 0.0, 1) == ()
    assert active_rules("ru", 1.0, 1) == ACCENTS["ru"]
    assert active_rules("us", 1.0, 1) == ()


def test_the_british_mapping_always_applies_whole():
    assert active_rules("gb", 0.0, 1) == ACCENTS["gb"]


def test_an_accent_changes_what_is_said(engine, speaker):
    import dataclasses

    def say(accent):
        return engine.phonemes(
            "Think about the butter.", dataclasses.replace(speaker, accent=accent, accent_strength=1)
        )

    assert say("us") != say("es") == say("es")
    assert say("gb") != say("us")
