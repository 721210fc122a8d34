"""Reference clips: a folder of recorded people whose voices an engine clones, split for training and testing."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import soundfile

from rba.data import audio, seeds
from rba.data.instruction import SPLITS
from rba.errors import DataError, RecipeError
from rba.inputs import given
from rba.speech.speaker import Speaker, speaker, split_of

MIN_SECONDS = 3.0
SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3"})
_PREFIX = "clone-"
_TEXTS = (".normalized.txt", ".txt")
_SUBSET = re.compile(r"(train|dev|valid|validation|test)([-_].+)?")
_DEEPEST = 2  # parts of PERSON's CHAPTER/CLIP: what lies deeper is sorted by something else than people


@dataclass(frozen=True)
class ReferenceBank:
    """The people in a folder that holds a subfolder for each: PERSON/CLIP or PERSON/CHAPTER/CLIP.

    Subsets of a corpus (train-clean-360, dev, test_other) may stand between, as those of LibriTTS do; who is in several
    is one person. Each is a `Speaker` with the id "clone-PERSON" and one clip of theirs, of 3 to 30 s, drawn by name,
    with its words in CLIP.normalized.txt or CLIP.txt if they have one such. Who has no such clip is left out. The
    split is that of the person's name: no one is in two, and more people move nobody.
    """

    folder: str

    def __getitem__(self, name: str) -> Speaker:
        """The speaker with this id. Raises DataError if nobody here has it."""
        for person in _people(self.folder):
            if person.id == name:
                return person
        raise DataError(
            "no reference clips of this speaker", f"{name} in {self.folder}", "name the folder it came from"
        )

    def speakers(self, split: str) -> list[Speaker]:
        """All speakers of a split. Raises RecipeError for an unknown split or a folder without clips."""
        if split not in SPLITS:
            raise RecipeError("unknown split", split, f"use one of {', '.join(SPLITS)}")
        return [who for who in _people(self.folder) if split_of(who.id.removeprefix(_PREFIX)) == split]

    def wordless(self) -> list[Speaker]:
        """Everybody whose clip comes without its words."""
        return [who for who in _people(self.folder) if not who.reference_text]

    def draw(self, split: str, count: int, *parts: object) -> list[Speaker]:
        """`count` different speakers of a split, chosen by `parts`. Raises RecipeError if the split has too few."""
        pool = self.speakers(split)
        if len(pool) < count:
            what = f"{len(pool)} {split} speakers with reference clips cannot give {count} different voices"
            raise RecipeError(what, "speech.references", "give clips of more people or ask for fewer voices")
        chosen = seeds.rng("voices", *parts).choice(len(pool), size=count, replace=False)
        return [pool[i] for i in chosen]


def is_clone(name: str) -> bool:
    """Whether a speaker's id is that of a person with reference clips."""
    return name.startswith(_PREFIX)


def find_speaker(name: str, references: str = "") -> Speaker:
    """The speaker with this id: one of the folder `references`, or of the bank. Raises DataError for no one's."""
    return ReferenceBank(references)[name] if is_clone(name) else speaker(name)


@functools.lru_cache(maxsize=4)
def _people(folder: str) -> tuple[Speaker, ...]:
    """Everybody in the folder, by name. Raises RecipeError for no clip, and a name or words that are not UTF-8."""
    root = given(folder)
    people: dict[str, Speaker] = {}
    for place in sorted(_places(root) if root.is_dir() else (), key=lambda place: (place.name, place)):
        if place.name not in people and (clip := _clip(place)):
            people[place.name] = _person(place, clip)
    if not people:
        fix = f"give a subfolder of audio clips ({MIN_SECONDS:g} to {audio.MAX_SECONDS:g} s) for each person"
        raise RecipeError("no reference clips here", f"speech.references {folder}", fix)
    return tuple(people.values())


def _places(root: Path) -> Iterator[Path]:
    """The folders of people: the subfolders, and those of subsets in place of these."""
    for place in filter(Path.is_dir, root.iterdir()):
        own = list(place.iterdir()) if _SUBSET.fullmatch(place.name) else []
        if any(part.is_dir() for part in own) and not any(map(_is_audio, own)):
            yield from filter(Path.is_dir, own)
        else:
            yield place


def _clip(place: Path) -> Path | None:
    """The first clip of a usable length, in an order drawn by name: most folders are left after one look.

    Those with their words come before the others. Raises RecipeError for a folder that cannot be a person's, as
    everything in it lies deeper.
    """
    files = set(place.rglob("*"))

    def order(clip: Path) -> tuple[bool, int]:
        return files.isdisjoint(map(clip.with_suffix, _TEXTS)), _drawn(clip, place.parent)

    clips = sorted(filter(_is_audio, files), key=order)
    if clips and min(len(clip.relative_to(place).parts) for clip in clips) > _DEEPEST:
        fix = "name the folder whose subfolders are people: PERSON/CLIP or PERSON/CHAPTER/CLIP"
        raise RecipeError("recordings lie too deep for a person's folder", f"speech.references {place}", fix)
    for clip in clips:
        try:
            seconds = soundfile.info(str(clip)).duration
        except soundfile.SoundFileError:
            continue
        if MIN_SECONDS <= seconds <= audio.MAX_SECONDS:
            return clip
    return None


def _is_audio(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _drawn(clip: Path, root: Path) -> int:
    """Where a clip stands in the order of its person's clips. Raises RecipeError for a name that is not UTF-8."""
    try:
        return seeds.derive("reference clip", clip.relative_to(root).as_posix())
    except UnicodeEncodeError as error:
        raise RecipeError("the name of a reference clip is not UTF-8", str(clip), "rename it") from error


def _person(place: Path, clip: Path) -> Speaker:
    texts = [clip.with_suffix(suffix) for suffix in _TEXTS]
    path = next((path for path in texts if path.is_file()), None)
    try:
        words = path.read_text(encoding="utf-8").strip() if path else ""
    except UnicodeDecodeError as error:
        raise RecipeError("the words of a reference clip are not UTF-8", str(path), "save the file as UTF-8") from error
    return Speaker(_PREFIX + place.name, reference=str(clip), reference_text=words)
