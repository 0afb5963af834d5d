"""The speech synthesiser eSpeak NG as a program of its own: text in, sound out.

Run as `python -m offhook.services.espeak_process [VOICE [WORDS_PER_MINUTE]]`. Standard input is the
text in UTF-8; standard output the sample rate in 4 bytes, then signed 16-bit samples, mono, both
little-endian, as they are made. Nothing else loads the library, which is under the GPL.
"""

import argparse
import ctypes
import os
import sys
from pathlib import Path
from typing import Final

SYNCHRONOUS: Final = 2
PIECE_MS: Final = 20
RATE_PARAMETER: Final = 1
POSITION_IN_CHARACTERS: Final = 1
TEXT_IS_UTF8: Final = 1
CONTINUE, ABORT = 0, 1

Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


def main() -> None:
    """Speak what standard input says."""
    parser = argparse.ArgumentParser(description="Speak what standard input says.")
    parser.add_argument("voice", nargs="?", default="en-us")
    parser.add_argument("words_per_minute", nargs="?", type=int, default=165)
    arguments = parser.parse_args()
    try:
        import espeakng_loader  # noqa: PLC0415 -- only this program may load it
    except ImportError:
        sys.exit("espeakng-loader is not installed")
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    # The library has room for a path of 160 characters; from inside its folder a dot will do.
    os.chdir(Path(espeakng_loader.get_data_path()).parent)
    sample_rate_hz = library.espeak_Initialize(SYNCHRONOUS, PIECE_MS, b".", 0)
    if sample_rate_hz <= 0:
        sys.exit("eSpeak NG does not find its data")
    if library.espeak_SetVoiceByName(arguments.voice.encode()) != 0:
        sys.exit(f"eSpeak NG has no voice {arguments.voice!r}")
    library.espeak_SetParameter(RATE_PARAMETER, arguments.words_per_minute, 0)
    sink = sys.stdout.buffer

    def take(samples: int | None, count: int, _events: int | None) -> int:
        if samples is None or count <= 0:
            return CONTINUE
        try:
            sink.write(ctypes.string_at(samples, 2 * count))
            sink.flush()
        except OSError:
            return ABORT  # nobody listens any more
        return CONTINUE

    sink.write(sample_rate_hz.to_bytes(4, "little"))
    callback = Callback(take)
    library.espeak_SetSynthCallback(callback)
    text = sys.stdin.buffer.read() + b"\0"
    if library.espeak_Synth(
        text, len(text), 0, POSITION_IN_CHARACTERS, 0, TEXT_IS_UTF8, None, None
    ):
        sys.exit("eSpeak NG cannot speak this text")


if __name__ == "__main__":
    main()
