"""The bank that the speakers of a run are drawn from, and whether the run's engine and voices go with it."""

from __future__ import annotations

from collections.abc import Iterable

from rba.errors import RecipeError
from rba.services.service import PREFIX, parse_service
from rba.speech import engine
from rba.speech.references import ReferenceBank
from rba.speech.settings import SpeechSettings
from rba.speech.speaker import SpeakerBank


def bank_of(settings: SpeechSettings) -> SpeakerBank | ReferenceBank:
    """Who speaks: the people of `settings.references`, or the bank of synthetic speakers."""
    return ReferenceBank(settings.references) if settings.references else SpeakerBank(settings.speakers)


def check_bank(settings: SpeechSettings, splits: Iterable[str]) -> None:
    """Raise RecipeError where the engine cannot speak as these speakers do, or a split has fewer than the voices."""
    check_clones(settings)
    check_words(settings.engine, settings.references)
    for split in sorted(set(splits)):
        bank_of(settings).draw(split, settings.voices)


def check_clones(settings: SpeechSettings) -> None:
    """Raise RecipeError for an engine that clones voices and is given none, and for one that does not and is."""
    clones = engine.clones(settings.engine)
    if clones and not settings.references:
        fix = "name a folder with a subfolder of recordings for each person: speech.references=FOLDER"
        raise RecipeError("this engine clones voices and needs recordings", settings.engine, fix)
    if settings.references and not clones:
        fix = "leave speech.references out, or name an engine that clones"
        raise RecipeError("this engine does not clone voices", settings.engine, fix)


def check_words(name: str, references: str) -> None:
    """Raise RecipeError where a served engine that clones, by its name, would be sent clips without their words."""
    if not (references and engine.is_served(name)):
        return
    if parse_service(PREFIX + engine.model_of(name)).x_vector_only_mode:
        return
    if wordless := ReferenceBank(references).wordless():
        what = f"{len(wordless)} people have no clip with its words, which a server that clones asks for"
        fix = "put the words beside a clip of theirs, in CLIP.txt or CLIP.normalized.txt"
        fix += ", or add ?x_vector_only_mode=true before the # where the model clones without (Qwen3-TTS)"
        raise RecipeError(what, f"speech.references, such as {wordless[0].reference}", fix)
