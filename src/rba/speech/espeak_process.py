"""One utterance of eSpeak NG, in a process of its own: text on stdin, 16-bit samples on stdout after the rate in Hz.

Run as a script with the package's folder, voice, pitch, pitch range and words a minute; it imports nothing of rba.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

_SYNCHRONOUS, _CHARACTERS, _UTF8 = 2, 1, 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_LIBRARIES = ("libespeak-ng.so", "libespeak-ng.dylib", "espeak-ng.dll")


def main(folder: Path, voice: str, pitch: int, spread: int, rate: int) -> None:
    """Speak stdin to stdout. Raises RuntimeError where the library refuses."""
    library = ctypes.CDLL(str(next(folder / name for name in _LIBRARIES if (folder / name).is_file())))
    hz = library.espeak_Initialize(_SYNCHRONOUS, 0, str(folder / "espeak-ng-data").encode(), 0)
    if hz <= 0:
        raise RuntimeError("the library cannot find its data")
    samples: list[bytes] = []

    def take(wave: int | None, count: int, _events: int | None) -> int:
        if wave and count > 0:
            samples.append(ctypes.string_at(wave, 2 * count))
        return 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(take)
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(voice.encode()):
        raise RuntimeError(f"there is no voice {voice}")
    for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, spread)):
        library.espeak_SetParameter(parameter, value, 0)
    text = sys.stdin.buffer.read() + b"\0"
    if library.espeak_Synth(text, ctypes.c_size_t(len(text)), 0, _CHARACTERS, 0, _UTF8, None, None):
        raise RuntimeError("the text was refused")
    library.espeak_Synchronize()
    sys.stdout.buffer.write(hz.to_bytes(2, "little") + b"".join(samples))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:6]))
