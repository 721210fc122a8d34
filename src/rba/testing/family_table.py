"""The table of docs/families.md: the checks of a SpeechLM on a tiny random model of every family.

`python -m rba.testing.family_table docs/families.md` writes it anew.
"""

from __future__ import annotations

import re
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from rba.models.audio_lm import AudioLM, restore
from rba.models.conformance import Finding, conformance, conformance_table
from rba.models.families import FAMILIES
from rba.models.load import load_speechlm
from rba.testing.tiny_audio_lm import BUILDERS, STAND_INS, save_tiny_audio_lm, tiny_audio_lm
from rba.testing.tiny_encoder import WHISPER
from rba.testing.tiny_speechlm import save_tiny_speechlm
from rba.testing.tiny_utterances import tiny_wave

COMPACT, WINDOWS = "compact", "windows"
EARS = {f"{COMPACT}-{family}": family for family in ("moonshine", "wav2vec2", "hubert", "wavlm")}
"""Rows of the compact model with another encoder than Whisper's."""
WAVES = [tiny_wave(0), tiny_wave(1, 1.0)]
ROWS = {
    COMPACT: "compact (rba's own)",
    **{name: f"compact, hearing through `{family}`" for name, family in EARS.items()},
    **{name: f"{FAMILIES[name].title} (`{name}`)" for name in BUILDERS},
    WINDOWS: "Qwen2-Audio around an LLM with sliding windows",
}
"""The rows' titles, by the names of the families."""
_TABLE = re.compile(r"^\| family \|.*\n(\|.*\n)+", re.MULTILINE)


def examine_family(name: str, folder: Path) -> list[Finding]:
    """What the checks say of a tiny model of a family in `ROWS`, saved in an empty `folder` and opened if it can be."""
    if name == COMPACT or name in EARS:
        saved = save_tiny_speechlm(folder, ears=EARS.get(name, WHISPER))
        return list(conformance(load_speechlm(saved, "float32"), WAVES))
    if name != WINDOWS and name not in STAND_INS:
        return list(conformance(load_speechlm(save_tiny_audio_lm(folder, name), "float32"), WAVES))
    make = partial(tiny_audio_lm, window=24) if name == WINDOWS else partial(tiny_audio_lm, name)

    def reopen(place: Path, dtype: str) -> AudioLM:
        restore(model := make(), place)
        return model

    return list(conformance(make(), WAVES, reopen))


def family_table(found: dict[str, list[Finding]]) -> str:
    """The Markdown table of findings by family."""
    return conformance_table({ROWS[name]: findings for name, findings in found.items()})


def with_table(text: str, table: str) -> str:
    """A document with `table` in the place of its own."""
    made, count = _TABLE.subn(lambda _: table, text)
    if count != 1:
        raise ValueError(f"{count} tables of families were found, not one")
    return made


def main(path: str) -> None:
    """Run all checks and write their table into the document at `path`."""
    found = {}
    for name in ROWS:
        with TemporaryDirectory() as place:
            found[name] = examine_family(name, Path(place))
        failed = [f"{finding.name}: {finding.seen}" for finding in found[name] if not finding.passed]
        print("; ".join([f"{name}: {len(failed)} of {len(found[name])} checks failed", *failed]), flush=True)
    document = Path(path)
    document.write_text(with_table(document.read_text(encoding="utf-8"), family_table(found)), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
