"""What a SpeechLM hears, beside the ASR of its own encoder's family.

    python benchmarks/heard.py SOURCE [--model shipped] [--asr whisper-tiny.en] [--text text] [--json OUT]

SOURCE is a run folder, whose test utterances are taken (without those whose words the connector was trained on), or a
manifest of recordings: one JSON object a line with `audio` (a path relative to it) and the words under `--text`.
The ASR is a Whisper or Moonshine model, or one behind a server ("openai:ADDRESS#MODEL").
Prints the corpus word error rate of both, with 95 % bootstrap intervals over clips.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

Clip = tuple[Any, str]


def recordings(manifest: Path, key: str) -> list[Clip]:
    """(path, words) of every clip of a manifest that has words."""
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    return [(manifest.parent / row["audio"], row[key]) for row in rows if row.get(key)]


def test_utterances(run: Path, model: str) -> list[Clip]:
    """(FLAC bytes, words) of a run's test utterances that are new to the model's connector."""
    from rba.data.utterance import Utterance
    from rba.evaluation.leak import unheard
    from rba.workspace import Workspace

    rows = [u for u in Workspace(run).stage("speech").read(Utterance) if u.split == "test"]
    return [(u.audio, u.text) for u in unheard(rows, model)]


def main() -> None:
    """Hear every clip with both, print one line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--model", default="shipped")
    parser.add_argument("--asr", default="whisper-tiny.en", help="empty: none")
    parser.add_argument("--text", default="text", help="the key that holds a recording's words")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    args = parser.parse_args()

    from rba.connect.measure import interval, word_error_rate
    from rba.data.audio import decode
    from rba.models.load import load_speechlm
    from rba.speech.recogniser import load_recogniser

    clips = test_utterances(args.source, args.model) if args.source.is_dir() else recordings(args.source, args.text)
    waves, references = [decode(sound) for sound, _ in clips], [words for _, words in clips]
    model = load_speechlm(args.model)
    heard = {f"connector ({args.model})": model.listen(model.encode(waves))[1]}
    if args.asr:
        heard[f"ASR ({args.asr})"] = load_recogniser(args.asr).transcribe(waves)
    figures = {}
    for name, texts in heard.items():
        value, (low, high) = word_error_rate(references, texts), interval(references, texts)
        figures[name] = {"wer": value, "low": low, "high": high, "clips": len(clips)}
        print(f"{name}: WER {100 * value:.1f} % [{100 * low:.1f}, {100 * high:.1f}] on {len(clips)} clips")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
