"""What a SpeechLM hears, beside the ASR of its own encoder's family.

    python benchmarks/heard.py SOURCE [--model shipped] [--asr NAME ...] [--text text] [--counted FOLDER] [--json OUT]

SOURCE is a run folder, whose test utterances are taken (without those whose words the connector was trained on), or a
manifest of recordings: one JSON object a line with `audio` (a path relative to it) and the words under `--text`.
An ASR is a Whisper or Moonshine model, or one behind a server ("openai:ADDRESS#MODEL").
Prints the corpus word error rate of all, with 95 % bootstrap intervals over clips, and the share of clips whose own
error rate is small: what `speech.gate` passes at the first attempt, by `speech.gate_wer`. With `--counted`, a folder of
corpus files, also the share of spoken words that are missed, by how often they stand in those texts.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Clip = tuple[Any, str]
BANDS = (0, 1, 4, 16, 64, 256)
GATES = (0.05, 0.1, 0.2)


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


def counts(folder: Path) -> Counter[str]:
    """How often each word stands in the texts of a folder's `.jsonl.gz` files."""
    from rba.speech.word_errors import normalise

    found: Counter[str] = Counter()
    for path in sorted(folder.glob("*.jsonl.gz")):
        for line in gzip.decompress(path.read_bytes()).decode().splitlines():
            found.update(normalise(json.loads(line)["text"]).split())
    return found


def missed_by_count(references: Sequence[str], heard: Sequence[str], seen: Counter[str]) -> dict[int, tuple[int, int]]:
    """(missed, spoken) words by the lower end of the band of `BANDS` that their count in `seen` falls into."""
    import jiwer

    from rba.speech.word_errors import normalise

    found = {band: [0, 0] for band in BANDS}
    for reference, hypothesis in zip(references, heard):
        if not (words := normalise(reference)):
            continue
        (aligned,) = jiwer.process_words(words, normalise(hypothesis)).alignments
        for chunk in aligned:
            for word in words.split()[chunk.ref_start_idx : chunk.ref_end_idx]:
                cell = found[max(band for band in BANDS if band <= seen[word])]
                cell[0] += chunk.type != "equal"
                cell[1] += 1
    return {band: (missed, spoken) for band, (missed, spoken) in found.items()}


def main() -> None:
    """Hear every clip with all, print one line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--model", default="shipped")
    parser.add_argument("--asr", nargs="*", default=["whisper-base"], help="recognisers; none after it: none")
    parser.add_argument("--text", default="text", help="the key that holds a recording's words")
    parser.add_argument("--counted", type=Path, help="a folder of corpus files, such as recipes/connector")
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
    heard |= {f"ASR ({name})": load_recogniser(name).transcribe(waves) for name in args.asr}
    seen, figures = counts(args.counted) if args.counted else None, {}
    for name, texts in heard.items():
        value, (low, high) = word_error_rate(references, texts), interval(references, texts)
        figures[name] = {"wer": value, "low": low, "high": high, "clips": len(clips)}
        print(f"{name}: WER {100 * value:.1f} % [{100 * low:.1f}, {100 * high:.1f}] on {len(clips)} clips")
        apart = [word_error_rate([words], [text]) for words, text in zip(references, texts)]
        figures[name]["within"] = within = {gate: sum(wer <= gate for wer in apart) / len(apart) for gate in GATES}
        print("  clips within " + ", ".join(f"{gate}: {100 * share:.0f} %" for gate, share in within.items()))
        if seen is not None:
            figures[name]["missed"] = bands = missed_by_count(references, texts, seen)
            for band, (missed, spoken) in bands.items():
                print(f"  missed {missed} of {spoken} words that stand {band} times or more")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
