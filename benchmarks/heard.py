"""What a SpeechLM hears on recorded speech, beside the ASR of its own encoder's family.

    python benchmarks/heard.py MANIFEST.jsonl [--model shipped] [--asr whisper-tiny.en] [--text text] [--json OUT]

The manifest has one JSON object a line with `audio` (a path relative to it) and the words under `--text`. Prints the
corpus word error rate of both, with 95 % bootstrap intervals over clips.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def main() -> None:
    """Read the manifest, hear every clip with both, print one line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", default="shipped")
    parser.add_argument("--asr", default="whisper-tiny.en")
    parser.add_argument("--text", default="text", help="the key that holds the words")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    args = parser.parse_args()

    from rba.connect.measure import interval, word_error_rate
    from rba.data.audio import decode
    from rba.models.load import load_speechlm
    from rba.speech.transcriber import Transcriber

    rows = [json.loads(line) for line in args.manifest.read_text().splitlines()]
    rows = [row for row in rows if row.get(args.text)]
    waves = [decode(args.manifest.parent / row["audio"]) for row in rows]
    references = [row[args.text] for row in rows]
    model = load_speechlm(args.model)
    heard = {f"connector ({args.model})": model.transcripts(model.encode(waves))}
    heard[f"ASR ({args.asr})"] = Transcriber(args.asr).transcribe(waves)
    figures = {}
    for name, texts in heard.items():
        value, (low, high) = word_error_rate(references, texts), interval(references, texts)
        figures[name] = {"wer": value, "low": low, "high": high, "clips": len(rows)}
        print(f"{name}: WER {100 * value:.1f} % [{100 * low:.1f}, {100 * high:.1f}] on {len(rows)} clips")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
