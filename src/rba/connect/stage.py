"""The connect stage: a compact SpeechLM checkpoint, from the package or trained here."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from rba import config
from rba.connect.corpus_file import read_rows
from rba.connect.settings import (
    HELD_OUT,
    SELF_SYNTHESISED,
    TEMPLATED,
    ConnectSettings,
    CorpusSettings,
    part_name,
)
from rba.data import seeds
from rba.data.instruction import instruction_id
from rba.errors import DataError, ModelError
from rba.inputs import given
from rba.models import shipped_folder
from rba.models.heard import HEARD
from rba.weights.mark import weights_mark
from rba.workspace import StageFolder, file_hash, fingerprint, keep_only, write_json

if TYPE_CHECKING:
    from rba.connect.features import Job
    from rba.models.connector import Connector

SPEECH = ".connector-speech"
NOTHING = np.empty(0, np.uint64)


def run(
    settings: ConnectSettings, *, folder: StageFolder, seed: int, log: Callable[[dict], None] = lambda r: None
) -> None:
    """Write `model/`, a checkpoint that `load_speechlm` opens, into the stage's folder."""
    if settings.connector == "shipped":
        _copy_shipped(settings, folder)
    else:
        _train(settings, folder, seed, log)
    folder.complete()


def _copy_shipped(settings: ConnectSettings, folder: StageFolder) -> None:
    shutil.copytree(shipped_for(settings), folder.path / "model", dirs_exist_ok=True)


def shipped_for(settings: ConnectSettings) -> Path:
    """The folder of the shipped connector. Raises ModelError where it belongs to another encoder or LLM."""
    names = json.loads((shipped_folder() / "speechlm.json").read_text())
    if (names["encoder"], names["llm"]) != (settings.encoder, settings.llm):
        fix = f"use encoder {names['encoder']} and llm {names['llm']}, or connect.connector=train"
        raise ModelError("the shipped connector belongs to another encoder or LLM", "connect", fix)
    return shipped_folder()


def _train(settings: ConnectSettings, folder: StageFolder, seed: int, log: Callable[[dict], None]) -> None:
    """Corpus, features, CTC, distillation, WER; every part resumes where it was stopped."""
    from rba.connect import ctc, distill, measure
    from rba.connect.features import FeatureStore, make_shards
    from rba.connect.start import Start
    from rba.connect.vocabulary import build_vocabulary
    from rba.lm.load import load_lm
    from rba.models.compact import CompactSpeechLM
    from rba.models.encoder import load_encoder

    start = Start(settings)
    for name in settings.corpus.files:
        read_rows(given(name))  # a fault in a file is told before the LLM is loaded
    lm = load_lm(settings.llm)
    mark = speech_mark(settings, seed, start.heard)
    place = keep_only(folder.path.parent / SPEECH, "corpus", mark)  # other training settings find the speech here
    parts = corpus(settings.corpus, lm, place, seed, start.heard)
    make_shards([job for part in parts.items() for job in shards_of(settings, *part, place, seed)], settings.workers)
    stores = {name: FeatureStore(place / name) for name in parts}
    encoder = load_encoder(settings.encoder)
    for name, store in stores.items():
        hours = round(store.frames / encoder.frame_rate / 3600, 2)
        folder.note(f"speech: {name}", {"hours": hours, "texts": len(parts[name]), "spoken": len(store)})
    held_out = stores.pop(HELD_OUT)
    store = FeatureStore.join(list(stores.values()))
    for part, what in ((held_out, "held out"), (store, "to train on")):
        if not len(part):
            raise DataError(f"none of the texts {what} can be said", "connect.corpus", "give texts in English words")
    train_texts = [row.text for row in store.rows]
    vocabulary = build_vocabulary(lm.tokenizer, train_texts, settings.ctc.min_count, start.token_ids)
    torch.manual_seed(seeds.derive(seed, "connector") % 2**31)
    table_VD = lm.table()
    connector = start.connector(encoder.width, vocabulary.ids, table_VD).to(lm.device)
    model = CompactSpeechLM(encoder, connector, lm, "trained", settings.encoder)
    references = [row.text for row in held_out.rows]

    def wer(current: Connector) -> float:
        return measure.word_error_rate(references, measure.transcripts(current, lm.tokenizer, held_out))

    common: dict[str, Any] = {"seed": seed, "minutes": settings.checkpoint_minutes, "log": log}
    ctc.train(connector, store, vocabulary, settings.ctc, folder=folder.path / "ctc", validate=wer, **common)
    start.average(connector, settings.ctc.average)
    if settings.distill.updates:
        distill.distil(model, store, vocabulary, settings.distill, folder=folder.path / "distill", **common)
    heard = measure.transcripts(connector.eval(), lm.tokenizer, held_out)
    low, high = measure.interval(references, heard)
    value = measure.word_error_rate(references, heard)
    folder.note("wer", {"value": value, "low": low, "high": high, "utterances": len(heard)})
    model.save(folder.path / "model")
    heard_texts = np.array([int(instruction_id(t), 16) for t in train_texts], np.uint64)
    np.save(folder.path / "model" / HEARD, np.union1d(start.heard, heard_texts))  # evaluation leaves these texts out


def speech_mark(settings: ConnectSettings, seed: int, heard: np.ndarray) -> str:
    """The fingerprint of the corpus and its encoded speech; of an encoder or LLM in a local folder its files count."""
    words = [file_hash(path) for path in map(given, settings.corpus.files) if path.is_file()]
    models = weights_mark(settings.encoder), weights_mark(settings.llm)
    return fingerprint(config.to_tree(settings.corpus), words, *models, seed, heard.tobytes().hex())


def shards_of(settings: ConnectSettings, name: str, texts: Sequence[str], folder: Path, seed: int) -> list[Job]:
    """The shards of one part of the corpus that `folder` lacks; test speakers say the held-out part, moderately."""
    from rba.connect.features import missing_shards

    test = name == HELD_OUT
    return missing_shards(
        [t for _ in range(1 if test else settings.corpus.renderings) for t in texts],
        folder / name,
        encoder=settings.encoder,
        split="test" if test else "train",
        speakers=settings.corpus.speakers,
        acoustics=("moderate",) if test else settings.corpus.acoustics,
        seed=seed,
    )


def corpus(
    settings: CorpusSettings, lm: Any, folder: Path, seed: int, heard: np.ndarray = NOTHING
) -> dict[str, list[str]]:
    """The texts by part: one a file, "templated", "self-synthesised", and those held out from all of them.

    No text is in two parts. Only requests straight from the pre-query template are held out: they are what users'
    instructions look like. They are drawn by seeded hash from the first part that has them. None is of `heard`, the
    hashes of what the connector that training starts from was trained on.
    """
    done = folder / "texts.json"
    if not done.is_file():
        seen: set[str] = set()
        known = set(heard.tolist())
        parts: dict[str, list[str]] = {HELD_OUT: []}
        for name, rows in _sources(settings, lm, seed):
            fresh = {instruction_id(r["text"]): r for r in rows if instruction_id(r["text"]) not in seen}
            seen |= set(fresh)
            asked = [i for i, r in fresh.items() if r.get("source") == "query" and int(i, 16) not in known]
            asked.sort(key=partial(_order, seed))
            chosen = set(asked[: settings.held_out - len(parts[HELD_OUT])])
            parts[HELD_OUT] += [r["text"] for i, r in fresh.items() if i in chosen]
            parts[name] = [r["text"] for i, r in fresh.items() if i not in chosen]
        if not parts[HELD_OUT]:
            fix = "add a corpus file with requests that the connector of connect.start was not trained on"
            raise DataError("no request can be held out to measure the WER on", "connect.corpus", fix)
        write_json(done, parts)
    return json.loads(done.read_text())


def _order(seed: int, name: str) -> int:
    return seeds.derive(seed, HELD_OUT, name)


def _sources(settings: CorpusSettings, lm: Any, seed: int) -> Iterator[tuple[str, list[dict[str, str]]]]:
    from rba.connect.corpus import self_synthesised, templated
    from rba.connect.lexicon import pronounced_words
    from rba.progress import progress

    for name in settings.files:
        yield part_name(name), read_rows(given(name))
    if settings.templated:
        yield TEMPLATED, list(templated(settings.templated, seed, *pronounced_words(lm.tokenizer)))
    if settings.self_synthesised:
        with progress("texts for the connector", settings.self_synthesised) as bar:
            yield SELF_SYNTHESISED, list(self_synthesised(lm, settings.self_synthesised, seed, bar))
