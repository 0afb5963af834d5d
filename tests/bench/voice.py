"""A voice for the load: talks, pauses, talks; encoded once, so that sending it costs nothing."""

import array
import math
import random

from offhook.transports.webrtc.opus import Application, OpusDecoder, OpusEncoder

RATE_HZ = 24_000
FRAME = RATE_HZ // 50
TALK_FRAMES, PAUSE_FRAMES = 60, 40
QUIET_PACKETS = 10
LOUD = 1000
"""The voice is louder than this in every packet; what codecs make of silence is not."""


def packets() -> list[bytes]:
    """Make the Opus packets of one round: 1.2 s of voice, then 0.8 s of silence."""
    encoder = OpusEncoder(sample_rate_hz=RATE_HZ, application=Application.SPEECH)
    talk = [encoder.encode(_talk(number)) for number in range(TALK_FRAMES)]
    silence = bytes(2 * FRAME)
    return talk + [encoder.encode(silence) for _ in range(PAUSE_FRAMES)]


class Listener:
    """Finds out at which packets of a stream the voice begins after a pause.

    Args:
        was_quiet: Whether there was a pause before the first packet.
    """

    def __init__(self, *, was_quiet: bool = True) -> None:
        self._decoder = OpusDecoder(sample_rate_hz=8_000)
        self._quiet = QUIET_PACKETS if was_quiet else 0

    def is_beginning(self, payload: bytes) -> bool:
        """Take the next packet."""
        samples = array.array("h", self._decoder.decode(payload))
        if max(samples) < LOUD and min(samples) > -LOUD:
            self._quiet += 1
            return False
        was_quiet, self._quiet = self._quiet >= QUIET_PACKETS, 0
        return was_quiet


def _talk(number: int) -> bytes:
    """Return 20 ms of a harmonic tone that sways and breathes, as a vowel does."""
    breath = random.Random(number)
    samples = array.array("h")
    for index in range(number * FRAME, (number + 1) * FRAME):
        at = index / RATE_HZ
        phase = 2 * math.pi * (140 * at + 2 * math.sin(2 * math.pi * 3 * at))
        tone = sum(math.sin(phase * order) / order for order in (1, 2, 3, 5, 8, 13))
        swell = 0.6 + 0.4 * math.sin(2 * math.pi * 4 * at)
        samples.append(int(6000 * swell * tone + breath.gauss(0, 300)))
    return samples.tobytes()
