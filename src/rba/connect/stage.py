"""The connect stage: a compact SpeechLM checkpoint, from the package or trained here."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rba.connect.settings import ConnectSettings, CorpusSettings
from rba.data import seeds
from rba.data.instruction import instruction_id
from rba.errors import DataError, ModelError
from rba.workspace import StageFolder, write_json


def run(settings: ConnectSettings, *, folder: StageFolder, seed: int, log: Callable[[dict], None] = lambda r: None) -> None:
    """Write `model/`, a checkpoint that `load_speechlm` opens, into the stage's folder."""
    if settings.connector == "shipped":
        _copy_shipped(settings, folder)
    else:
        _train(settings, folder, seed, log)
    folder.complete()


def _copy_shipped(settings: ConnectSettings, folder: StageFolder) -> None:
    from rba.models.load import shipped_folder

    names = json.loads((shipped_folder() / "speechlm.json").read_text())
    if (names["encoder"], names["llm"]) != (settings.encoder, settings.llm):
        fix = f"use encoder {names['encoder']} and llm {names['llm']}, or connect.connector=train"
        raise ModelError("the shipped connector belongs to another encoder or LLM", "connect", fix)
    shutil.copytree(shipped_folder(), folder.path / "model", dirs_exist_ok=True)


def _train(settings: ConnectSettings, folder: StageFolder, seed: int, log: Callable[[dict], None]) -> None:
    """Corpus, features, CTC, distillation, WER; every part resumes where it was stopped."""
    from rba.connect import ctc, distill, measure
    from rba.connect.features import FeatureStore
    from rba.connect.vocabulary import build_vocabulary
    from rba.lm.load import load_lm
    from rba.models.compact import CompactSpeechLM
    from rba.models.connector import Connector, ConnectorConfig
    from rba.models.whisper import load_encoder

    lm = load_lm(settings.llm)
    train_texts, test_texts = corpus(settings.corpus, lm, folder.path / "corpus", seed)
    stores = {}
    for split, texts, spoken in (("train", train_texts, settings.corpus.acoustics), ("test", test_texts, ("moderate",))):
        place = folder.path / "features" / split
        lost = _features(settings, texts, place, split, spoken, seed)
        stores[split] = FeatureStore(place)
        folder.note(f"{split}_speech", {"hours": round(stores[split].hours, 2), "texts": len(texts), "unspeakable": lost})
    store, held_out = stores["train"], stores["test"]
    vocabulary = build_vocabulary(lm.tokenizer, train_texts, settings.ctc.min_count)
    encoder = load_encoder(settings.encoder)
    c = settings.ctc
    config = ConnectorConfig(encoder.width, c.stack, c.width, c.layers, dropout=c.dropout)
    torch.manual_seed(seeds.derive(seed, "connector") % 2**31)
    connector = Connector(config, vocabulary.ids, lm.model.get_input_embeddings().weight)
    references = [row.text for row in held_out.rows]

    def wer(current: Connector) -> float:
        return measure.word_error_rate(references, measure.transcripts(current, lm.tokenizer, held_out))

    common: dict[str, Any] = {"seed": seed, "minutes": settings.checkpoint_minutes, "log": log}
    ctc.train(connector, store, vocabulary, c, folder=folder.path / "ctc", validate=wer, **common)
    if settings.distill.updates:
        distill.distil(
            connector, lm, store, vocabulary, settings.distill, c, folder=folder.path / "distill", **common
        )
    heard = measure.transcripts(connector.eval(), lm.tokenizer, held_out)
    low, high = measure.interval(references, heard)
    value = measure.word_error_rate(references, heard)
    folder.note("wer", {"value": value, "low": low, "high": high, "utterances": len(heard)})
    model = CompactSpeechLM(encoder, connector, lm, "trained", settings.encoder)
    model.save(folder.path / "model")
    known = np.array(sorted({int(instruction_id(t), 16) for t in train_texts}), np.uint64)
    np.save(folder.path / "model" / "heard_texts.npy", known)


def _features(
    settings: ConnectSettings, texts: Sequence[str], place: Path, split: str, acoustics: tuple[str, ...], seed: int
) -> int:
    from rba.connect.features import make_features

    spoken = [t for _ in range(settings.corpus.renderings if split == "train" else 1) for t in texts]
    return make_features(
        spoken,
        place,
        encoder=settings.encoder,
        split=split,
        speakers=settings.corpus.speakers,
        acoustics=acoustics,
        seed=seed,
        workers=settings.workers,
    )


def corpus(settings: CorpusSettings, lm: Any, folder: Path, seed: int) -> tuple[list[str], list[str]]:
    """Training and held-out texts: files and generated ones, without repeats, in seeded order.

    Only self-synthesised requests ("magpie") are held out, since they are what users' instructions look like.
    """
    done = folder / "texts.json"
    if not done.is_file():
        rows = [row for name in settings.files for row in _read_lines(Path(name))] + _generated(settings, lm, seed)
        unique = {instruction_id(r["text"]): r for r in rows}
        order = sorted(unique, key=lambda i: seeds.derive(seed, "order", i))
        asked = [i for i in order if unique[i].get("source") == "magpie"][: settings.held_out]
        held_out = set(asked)
        write_json(
            done,
            {
                "train": [unique[i]["text"] for i in order if i not in held_out],
                "test": [unique[i]["text"] for i in asked],
            },
        )
    texts = json.loads(done.read_text())
    return texts["train"], texts["test"]


def _generated(settings: CorpusSettings, lm: Any, seed: int) -> list[dict[str, str]]:
    from rba.connect.corpus import self_synthesised, templated
    from rba.progress import progress

    rows = list(templated(settings.templated, seed)) if settings.templated else []
    if settings.self_synthesised:
        with progress("texts for the connector", settings.self_synthesised) as bar:
            rows += list(self_synthesised(lm, settings.self_synthesised, seed, bar))
    return rows


def _read_lines(path: Path) -> list[dict[str, str]]:
    import gzip

    try:
        opened = gzip.open(path, "rt") if path.suffix == ".gz" else path.open()
        with opened as stream:
            return [json.loads(line) for line in stream]
    except (OSError, ValueError) as error:
        raise DataError("cannot read the corpus file", str(path), "give JSON lines with a text each") from error
