"""Reference clips: a folder of recorded people whose voices an engine clones, split for training and testing."""

from __future__ import annotations

import functools
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


@dataclass(frozen=True)
class ReferenceBank:
    """The people in a folder that holds a subfolder for each (LibriTTS's form; deeper subfolders are theirs, too).

    Each is a `Speaker` with the id "clone-SUBFOLDER" and one clip of theirs, of 3 to 30 s, drawn by name; its words are
    read from CLIP.normalized.txt or CLIP.txt where there is one. Who has no such clip is left out. The split is that of
    the subfolder's name: no one is in two, and more people move nobody.
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
    places = sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
    people = tuple(_person(place, clip) for place in places if (clip := _clip(place)))
    if not people:
        fix = f"give a subfolder of audio clips ({MIN_SECONDS:g} to {audio.MAX_SECONDS:g} s) for each person"
        raise RecipeError("no reference clips here", f"speech.references {folder}", fix)
    return people


def _clip(place: Path) -> Path | None:
    """The first clip of a usable length, in an order drawn by name: most folders are left after one look."""
    clips = (p for p in place.rglob("*") if p.suffix.lower() in SUFFIXES)
    for clip in sorted(clips, key=lambda clip: _drawn(clip, place.parent)):
        try:
            seconds = soundfile.info(str(clip)).duration
        except soundfile.SoundFileError:
            continue
        if MIN_SECONDS <= seconds <= audio.MAX_SECONDS:
            return clip
    return None


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
