"""Speech translation: CoVoST 2, FLEURS, MuST-C and plain pairs of sentences."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rba.errors import DataError, RecipeError
from rba.evaluation.benchmarks import sources
from rba.evaluation.benchmarks.item import Item
from rba.evaluation.benchmarks.settings import BenchmarkSettings


def load_pairs(settings: BenchmarkSettings) -> Iterator[Item]:
    """Rows with a column for each language of the pair ("eng_deu": columns eng and deu), and `audio` where spoken."""
    source, target = _pair(settings)
    folder = sources.folder_of(settings)
    for number, row in enumerate(sources.records(settings)):
        if not row.get(source) or not row.get(target):
            where = f"benchmark {settings.name}, row {number}"
            raise DataError(f"a row lacks {source} or {target}", where, "name the pair of columns in subset")
        name = str(row.get("id", number))
        yield Item(name, row[source], (row[target],), sources.clip(row.get("audio"), folder, name))


def load_covost2(settings: BenchmarkSettings) -> Iterator[Item]:
    """CoVoST 2: `covost_v2.<pair>.<split>.tsv` with path, sentence, translation, beside Common Voice's "clips"; or rows
    with `file` or `audio` from the hub.
    """
    source, target = _pair(settings)
    folder = sources.folder_of(settings)
    table = folder / f"covost_v2.{source}_{target}.{settings.split}.tsv"
    rows = sources.read(table) if table.is_file() else list(sources.records(settings))
    for number, row in enumerate(rows):
        name = str(sources.first(row, "id", "path") or number)
        spoken = row.get("audio") or (f"clips/{row['path']}" if table.is_file() else row.get("file"))
        yield Item(name, row["sentence"], (row["translation"],), sources.clip(spoken, folder, name))


def load_fleurs(settings: BenchmarkSettings) -> Iterator[Item]:
    """FLEURS: `<config>/<split>.tsv` (id, file, raw transcription, ...) for both languages, joined by sentence id;
    clips in `<config>/audio/<split>`. The pair names the two configs: "en_us-de_de". On the hub likewise.
    """
    source, _, target = settings.subset.partition("-")
    if not target:
        raise RecipeError("no pair of languages", f'subset "{settings.subset}"', 'give two configs, "en_us-de_de"')
    wanted = {str(row["id"]): row["raw_transcription"] for row in _fleurs(settings, target)}
    folder = sources.folder_of(settings)
    for number, row in enumerate(_fleurs(settings, source)):
        if str(row["id"]) in wanted:
            name = f"{row['id']}-{number}"
            clip = sources.clip(row["audio"], folder, name)
            yield Item(name, row["raw_transcription"], (wanted[str(row["id"])],), clip)


def _fleurs(settings: BenchmarkSettings, config: str) -> list[Any]:
    from dataclasses import replace

    table = sources.folder_of(settings) / config / f"{settings.split}.tsv"
    if not table.is_file():
        return list(sources.records(replace(settings, subset=config)))
    lines = (line.split("\t") for line in table.read_text(encoding="utf-8").splitlines() if line)
    place = f"{config}/audio/{settings.split}"
    return [{"id": p[0], "audio": f"{place}/{p[1]}", "raw_transcription": p[2]} for p in lines]


def load_must_c(settings: BenchmarkSettings) -> Iterator[Item]:
    """MuST-C: `<pair>/data/<split>/txt/<split>.{yaml,<source>,<target>}` over talks in `wav`, cut as the YAML says."""
    import soundfile

    from rba import document

    source, target = _pair(settings)
    folder = Path(settings.source).expanduser() / f"{source}-{target}" / "data" / settings.split
    stem = folder / "txt" / settings.split
    try:
        segments: Any = document.parse(stem.with_suffix(".yaml").read_text(encoding="utf-8"), str(stem))
        sides = [stem.with_suffix(f".{code}").read_text(encoding="utf-8").splitlines() for code in (source, target)]
        for number, (part, text, wanted) in enumerate(zip(segments, *sides, strict=True)):
            with soundfile.SoundFile(folder / "wav" / part["wav"]) as stream:
                rate = stream.samplerate
                stream.seek(round(part["offset"] * rate))
                wave = stream.read(round(part["duration"] * rate), dtype="float32", always_2d=True)
            buffer = io.BytesIO()
            soundfile.write(buffer, wave, rate, format="FLAC", subtype="PCM_16")
            yield Item(str(number), text, (wanted,), buffer.getvalue())
    except (OSError, ValueError, KeyError, TypeError, soundfile.SoundFileError) as error:
        fix = "name the folder that holds en-de/data/<split>/txt and wav"
        raise DataError(f"MuST-C cannot be read: {error}", str(folder), fix) from error


def _pair(settings: BenchmarkSettings) -> tuple[str, str]:
    source, _, target = settings.subset.replace("-", "_").partition("_")
    if not source or not target:
        raise RecipeError("no pair of languages", f'subset "{settings.subset}"', 'give it as "en_de"')
    return source, target
