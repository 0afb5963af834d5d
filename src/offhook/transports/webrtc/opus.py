"""Opus (RFC 6716) by way of libopus itself: any of its rates, concealment, in-band copies.

FFmpeg's wrapper hides the three, so we call the library that PyAV's wheel carries, else the
system's. The low-delay mode costs a third of the speech mode and saves 4 ms, but has no in-band
copies (they belong to SILK); the sender changes over when the peer reports loss.
"""

import ctypes
import ctypes.util
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any, Final

import av

from offhook.errors import OffhookError, UsageError
from offhook.transports.webrtc.rtp import FRAMES_PER_S

RATES_HZ: Final = (8_000, 12_000, 16_000, 24_000, 48_000)
LONGEST_PACKET: Final = 1275
BITRATE: Final = 48_000
COMPLEXITY: Final = 5
LONGEST_FRAME_S: Final = 0.12

_SET_BITRATE: Final = 4002
_SET_COMPLEXITY: Final = 4010
_SET_INBAND_FEC: Final = 4012
_SET_PACKET_LOSS_PERC: Final = 4014
_SET_DTX: Final = 4016
_SET_SIGNAL: Final = 4024
_RESET_STATE: Final = 4028
_SIGNAL_VOICE: Final = 3001


class Application(IntEnum):
    """What an encoder is made for; the values are libopus's own."""

    SPEECH = 2048
    LOW_DELAY = 2051


class OpusError(OffhookError):
    """libopus refused."""

    code = "opus"

    def __init__(self, what: str, status: int) -> None:
        super().__init__(f"libopus: {what} failed with {status}")
        self.status = status


@cache
def library() -> ctypes.CDLL:
    """Load libopus once.

    Raises:
        UsageError: There is none.
    """
    bundled = sorted((Path(av.__file__).parent.parent / "av.libs").glob("libopus*.so*"))
    name = str(bundled[0]) if bundled else ctypes.util.find_library("opus")
    if name is None:
        raise UsageError("libopus is missing", hint="Install the av wheel, or your system's opus.")
    lib = ctypes.CDLL(name)
    pointer, integer, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    # The controls are variadic: only the fixed arguments may be declared.
    for function, arguments, result in (
        ("opus_encoder_create", (integer, integer, integer, ctypes.POINTER(integer)), pointer),
        ("opus_encoder_ctl", (pointer, integer), integer),
        ("opus_encode", (pointer, text, integer, pointer, ctypes.c_int32), ctypes.c_int32),
        ("opus_encoder_destroy", (pointer,), None),
        ("opus_decoder_create", (integer, integer, ctypes.POINTER(integer)), pointer),
        ("opus_decoder_ctl", (pointer, integer), integer),
        ("opus_decode", (pointer, text, ctypes.c_int32, pointer, integer, integer), integer),
        ("opus_decoder_destroy", (pointer,), None),
    ):
        declared: Any = getattr(lib, function)
        declared.argtypes, declared.restype = arguments, result
    return lib


class OpusEncoder:
    """Turns 20 ms of 16-bit PCM into one packet."""

    def __init__(
        self,
        *,
        sample_rate_hz: int,
        channels: int = 1,
        application: Application = Application.LOW_DELAY,
    ) -> None:
        self._lib = library()
        self._samples = sample_rate_hz // FRAMES_PER_S
        self.frame_bytes = self._samples * channels * 2
        self._out = ctypes.create_string_buffer(LONGEST_PACKET)
        self._address = ctypes.addressof(self._out)
        status = ctypes.c_int()
        self._state = self._lib.opus_encoder_create(
            sample_rate_hz, channels, application, ctypes.byref(status)
        )
        if status.value < 0:
            raise OpusError("making an encoder", status.value)
        self._control(_SET_BITRATE, BITRATE * channels)
        self._control(_SET_COMPLEXITY, COMPLEXITY)
        self._control(_SET_SIGNAL, _SIGNAL_VOICE)
        self._control(_SET_DTX, 0)
        if application is Application.SPEECH:
            self._control(_SET_INBAND_FEC, 1)
            self._control(_SET_PACKET_LOSS_PERC, 5)

    def expect_loss(self, percent: int) -> None:
        """Weigh the in-band copies by the loss that the peer reports."""
        self._control(_SET_PACKET_LOSS_PERC, max(0, min(percent, 100)))

    def encode(self, pcm: bytes) -> bytes:
        """Encode exactly one frame."""
        if len(pcm) != self.frame_bytes:
            raise ValueError(f"{len(pcm)} bytes of PCM, a frame has {self.frame_bytes}")
        size: int = self._lib.opus_encode(
            self._state, pcm, self._samples, self._address, LONGEST_PACKET
        )
        if size < 0:
            raise OpusError("encoding", size)
        return ctypes.string_at(self._address, size)

    def _control(self, request: int, value: int) -> None:
        status: int = self._lib.opus_encoder_ctl(self._state, request, ctypes.c_int(value))
        if status < 0:
            raise OpusError(f"control {request}", status)

    def __del__(self) -> None:
        if state := getattr(self, "_state", None):
            self._lib.opus_encoder_destroy(state)


class OpusDecoder:
    """Turns packets into 16-bit PCM at its own rate."""

    def __init__(self, *, sample_rate_hz: int, channels: int = 1) -> None:
        self._lib = library()
        self._bytes_per_sample = 2 * channels
        self._most_samples = int(sample_rate_hz * LONGEST_FRAME_S)
        self._out = ctypes.create_string_buffer(self._most_samples * self._bytes_per_sample)
        self._address = ctypes.addressof(self._out)
        status = ctypes.c_int()
        self._state = self._lib.opus_decoder_create(sample_rate_hz, channels, ctypes.byref(status))
        if status.value < 0:
            raise OpusError("making a decoder", status.value)

    def decode(self, payload: bytes) -> bytes:
        """Decode one packet.

        Raises:
            OpusError: The packet is none.
        """
        return self._decode(payload, self._most_samples, 0)

    def recover(self, payload: bytes, samples: int) -> bytes:
        """Decode the copy of the packet before this one; without a copy, conceal."""
        return self._decode(payload, samples, 1)

    def conceal(self, samples: int) -> bytes:
        """Go on as if a packet had come."""
        return self._decode(None, samples, 0)

    def reset(self) -> None:
        """Forget what was decoded before."""
        self._lib.opus_decoder_ctl(self._state, _RESET_STATE)

    def _decode(self, payload: bytes | None, samples: int, copy: int) -> bytes:
        size = 0 if payload is None else len(payload)
        count: int = self._lib.opus_decode(self._state, payload, size, self._address, samples, copy)
        if count < 0:
            raise OpusError("decoding", count)
        return ctypes.string_at(self._address, count * self._bytes_per_sample)

    def __del__(self) -> None:
        if state := getattr(self, "_state", None):
            self._lib.opus_decoder_destroy(state)
