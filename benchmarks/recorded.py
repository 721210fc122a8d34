"""Recordings of a person for `evaluate.benchmarks`: the sentences of a telephone system, as Debian has them.

apt-get download asterisk-core-sounds-en asterisk-core-sounds-en-g722
for package in asterisk-core-sounds-en*.deb; do dpkg-deb -x $package sounds; done
pip install av
python benchmarks/recorded.py sounds recorded

One speaker, 16 kHz, CC BY-SA 3.0. Sentences of 5 to 40 words become `recorded/manifest.jsonl` and its clips.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

VOICE = Path("usr/share/asterisk/sounds/en_US_f_Allison")
WORDS = Path("usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
RATE = 16_000
LEAST, MOST = 5, 40
SILENT = "(*#[<"
"""Signs of what is not read out as it stands."""


def sentences(listing: Path) -> Iterator[tuple[str, str]]:
    """Names and words of what is said in whole sentences, each once."""
    said: set[tuple[str, ...]] = set()
    with gzip.open(listing, "rt", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            name, _, text = line.partition(":")
            words = tuple(re.findall(r"[a-z']+", text.lower()))
            plain = not line.startswith(";") and not any(sign in text for sign in SILENT)
            if plain and LEAST <= len(words) <= MOST and words not in said:
                said.add(words)
                yield name.strip(), text.replace("...", "").strip(" .\n")


def wave(clip: Path) -> np.ndarray:
    """The samples [T] (float32) of a raw G.722 file."""
    import av

    decoder = av.CodecContext.create("g722", "r")
    decoder.sample_rate, decoder.layout = RATE, "mono"
    return np.concatenate([frame.to_ndarray()[0] for frame in decoder.decode(av.Packet(clip.read_bytes()))]) / 32768.0


def main() -> None:
    """Write the clips and their manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sounds", type=Path, help="folder into which both packages were unpacked")
    parser.add_argument("out", type=Path, help="folder to write")
    asked = parser.parse_args()
    if not (asked.sounds / WORDS).is_file():
        sys.exit(f"no recordings in {asked.sounds}: unpack both packages into it, as --help tells")
    rows = []
    for name, text in sentences(asked.sounds / WORDS):
        clip = asked.sounds / VOICE / f"{name}.g722"
        if clip.is_file():
            place = asked.out / "clips" / f"{name.replace('/', '_')}.flac"
            place.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(place, wave(clip), RATE)
            rows.append({"id": name, "text": text, "audio": f"clips/{place.name}"})
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (asked.out / "manifest.jsonl").write_text(lines, encoding="utf-8")
    print(f"{len(rows)} sentences in {asked.out}")


if __name__ == "__main__":
    main()
