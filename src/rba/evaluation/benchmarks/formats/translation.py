"""Speech translation: CoVoST 2, FLEURS, MuST-C and plain pairs of sentences."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from rba.errors import DataError, RecipeError
from rba.evaluation.benchmarks import sources, tables
from rba.evaluation.benchmarks.item import Item
from rba.evaluation.benchmarks.settings import BenchmarkSettings
from rba.evaluation.benchmarks.translation import parted
from rba.inputs import given


def load_pairs(settings: BenchmarkSettings) -> Iterator[Item]:
    """Rows with a column for each language of the pair ("eng_deu": columns eng and deu), and `audio` where spoken."""
    source, target = _pair(settings, *parted(settings.subset))
    folder = sources.folder_of(settings)
    for number, (where, row) in enumerate(sources.records(settings)):
        if not row.get(source) or not row.get(target):
            raise DataError(f"a row lacks {source} or {target}", where, "name the pair of columns in subset")
        with sources.reading(where):
            text, wanted = sources.text_in(row, source), sources.text_in(row, target)
        name, clip = sources.id_of(row, number, "id"), sources.clip(row.get("audio"), folder, where)
        yield Item(name, text, (wanted,), clip, where=where)


def load_covost2(settings: BenchmarkSettings) -> Iterator[Item]:
    """CoVoST 2: `covost_v2.<pair>.<split>.tsv` with path, sentence, translation, beside Common Voice's "clips"; or rows
    with `file` or `audio` from the hub. Languages may have a region: "en_zh-CN".
    """
    _pair(settings, *settings.subset.partition("_")[::2])
    folder = sources.folder_of(settings)
    table = folder / f"covost_v2.{settings.subset}.{settings.split}.tsv"
    rows = tables.placed(tables.read(table), table) if table.is_file() else sources.records(settings)
    for number, (where, row) in enumerate(rows):
        name = sources.id_of(row, number, "id", "path")
        with sources.reading(where):
            spoken = row.get("audio") or (f"clips/{row['path']}" if table.is_file() else row.get("file"))
            text, wanted = sources.text_in(row, "sentence"), sources.text_in(row, "translation")
        yield Item(name, text, (wanted,), sources.clip(spoken, folder, where), where=where)


def load_fleurs(settings: BenchmarkSettings) -> Iterator[Item]:
    """FLEURS: `<config>/<split>.tsv` (id, file, raw transcription, ...) for both languages, joined by sentence id;
    clips in `<config>/audio/<split>`. The pair names the two configs: "en_us-de_de". On the hub likewise.
    """
    source, _, target = settings.subset.partition("-")
    if not target:
        raise RecipeError("no pair of languages", f'subset "{settings.subset}"', 'give two configs, "en_us-de_de"')
    wanted = {}
    for where, row in _fleurs(settings, target):
        with sources.reading(where):
            wanted[str(row["id"])] = sources.text_in(row, "raw_transcription")
    folder = sources.folder_of(settings)
    for number, (where, row) in enumerate(_fleurs(settings, source)):
        with sources.reading(where):
            sentence, text, spoken = str(row["id"]), sources.text_in(row, "raw_transcription"), row["audio"]
        if sentence in wanted:
            name = f"{sentence}-{number}"
            yield Item(name, text, (wanted[sentence],), sources.clip(spoken, folder, where), where=where)


def _fleurs(settings: BenchmarkSettings, config: str) -> Iterator[tables.Placed]:
    table = sources.folder_of(settings) / config / f"{settings.split}.tsv"
    return _fleurs_table(table, config) if table.is_file() else sources.records(replace(settings, subset=config))


def _fleurs_table(table: Path, config: str) -> Iterator[tables.Placed]:
    """The rows of FLEURS's own tables, which have no header."""
    for where, line in tables.placed(filter(None, tables.lines(tables.text_of(table))), table):
        parts = line.split("\t")
        if len(parts) < 3:
            raise DataError("a line has no id, file and transcription", where, "check that the file is whole")
        yield where, {"id": parts[0], "audio": f"{config}/audio/{table.stem}/{parts[1]}", "raw_transcription": parts[2]}


def load_must_c(settings: BenchmarkSettings) -> Iterator[Item]:
    """MuST-C: `<pair>/data/<split>/txt/<split>.{yaml,<source>,<target>}` over talks in `wav`, cut as the YAML says."""
    import soundfile

    from rba import document

    source, target = _pair(settings, *parted(settings.subset))
    folder = given(settings.source) / f"{source}-{target}" / "data" / settings.split
    stem = folder / "txt" / settings.split
    try:
        segments: Any = document.parse(tables.text_of(stem.with_suffix(".yaml")), str(stem))
        sides = [tables.lines(tables.text_of(stem.with_suffix(f".{code}"))) for code in (source, target)]
        for number, (part, text, wanted) in enumerate(zip(segments, *sides, strict=True)):
            where = f"{stem}.yaml, row {number + 1}"
            with sources.reading(where), soundfile.SoundFile(folder / "wav" / part["wav"]) as stream:
                rate = stream.samplerate
                stream.seek(round(part["offset"] * rate))
                wave = stream.read(round(part["duration"] * rate), dtype="float32", always_2d=True)
            buffer = io.BytesIO()
            soundfile.write(buffer, wave, rate, format="FLAC", subtype="PCM_16")
            yield Item(str(number), text, (wanted,), buffer.getvalue(), where=where)
    except (OSError, ValueError, KeyError, TypeError, soundfile.SoundFileError) as error:
        fix = "name the folder that holds en-de/data/<split>/txt and wav"
        raise DataError(f"MuST-C cannot be read: {error}", str(folder), fix) from error


def _pair(settings: BenchmarkSettings, source: str, target: str) -> tuple[str, str]:
    """The two languages of a subset. Raises RecipeError where one is missing."""
    if not source or not target:
        raise RecipeError("no pair of languages", f'subset "{settings.subset}"', 'give it as "en_de"')
    return source, target
