"""A voice without an account or a download, for demos and tests.

The synthesiser, eSpeak NG, is under the GPL; it runs as a program of its own, `espeak_process`.
"""

import importlib.util
import logging
import subprocess
import sys
from typing import Final

import anyio
from anyio.abc import Process

from offhook.errors import UsageError
from offhook.kit.frames import (
    Cancel,
    End,
    Frame,
    FrameDirection,
    Interruption,
    OutputAudio,
    Start,
    Text,
)
from offhook.kit.processor import FrameProcessor
from offhook.kit.queue import BoundedQueue
from offhook.kit.rtvi import bot_transcription

log = logging.getLogger(__name__)

VOICE: Final = "en-us"
WORDS_PER_MINUTE: Final = 165
TIMEOUT_S: Final = 10.0
WAITING_TEXTS_LIMIT: Final = 100
HEADER_BYTES: Final = 4


class VoiceMissingError(UsageError):
    """The package that carries the synthesiser is not installed."""

    code = "voice_missing"
    hint = "Install the demo extra: pip install 'offhook[demo]'"

    def __init__(self) -> None:
        super().__init__("speaking needs the package espeakng-loader, which is not installed")


class SynthesisError(Exception):
    """A text could not be spoken."""


def is_installed() -> bool:
    """Tell whether the package that carries the synthesiser is there."""
    try:
        return importlib.util.find_spec("espeakng_loader") is not None
    except ValueError:  # somebody forbade its import
        return False


def synthesize(
    text: str,
    *,
    voice: str = VOICE,
    words_per_minute: int = WORDS_PER_MINUTE,
    timeout_s: float = TIMEOUT_S,
) -> tuple[bytes, int]:
    """Speak a text; return mono samples and their rate. Waits for it, and leaves nothing running.

    Raises:
        VoiceMissingError: The demo extra is not installed.
        SynthesisError: There is no such voice, or it took too long.
    """
    command = _command(voice, words_per_minute)
    try:
        done = subprocess.run(  # noqa: S603 -- our own program
            command, input=text.encode(), capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise SynthesisError(f"took longer than {timeout_s} s") from error
    if done.returncode != 0:
        raise SynthesisError(done.stderr.decode(errors="replace").strip())
    return done.stdout[HEADER_BYTES:], int.from_bytes(done.stdout[:HEADER_BYTES], "little")


class EspeakTTS(FrameProcessor):
    """Speaks each `Text`, one after the other; an `Interruption` stops it.

    Args:
        voice: A voice of eSpeak NG, such as "en-us" or "de".
        words_per_minute: How fast it speaks.
        timeout_s: How long the making of one text may take.

    Raises:
        VoiceMissingError: The demo extra is not installed.
    """

    def __init__(
        self,
        *,
        voice: str = VOICE,
        words_per_minute: int = WORDS_PER_MINUTE,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        super().__init__()
        self._command = _command(voice, words_per_minute)
        self._timeout_s = timeout_s
        self._queue = BoundedQueue[Frame](WAITING_TEXTS_LIMIT)
        self._speaking: anyio.CancelScope | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Queue what is to be said; pass on the rest."""
        match frame:
            case Text() | End():  # the end waits until everything has been said
                await self._queue.put(frame)
                return
            case Start():
                self.start_soon(self._speak_queued)
            case Interruption() | Cancel():
                self._queue.discard(lambda waiting: isinstance(waiting, Text))
                if self._speaking is not None:
                    self._speaking.cancel()
            case _:
                pass
        await self.push_frame(frame, direction)

    async def _speak_queued(self) -> None:
        while True:
            frame = await self._queue.get()
            if not isinstance(frame, Text):
                await self.push_frame(frame)
                continue
            with anyio.CancelScope() as scope:
                self._speaking = scope
                await self.push_frame(bot_transcription(frame.text))
                await self._speak(frame.text)

    async def _speak(self, text: str) -> None:
        problem = "took too long"
        with anyio.move_on_after(self._timeout_s):
            async with await anyio.open_process(self._command) as process:
                problem = await self._stream(process, text)
        if problem:
            log.error("text not spoken", extra={"problem": problem})
            await self.push_error("The bot could not speak.")

    async def _stream(self, process: Process, text: str) -> str:
        """Push what the program says, as it comes; return what it complains about."""
        stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
        if stdin is None or stdout is None or stderr is None:  # pragma: no cover  # all are pipes
            return "no pipes"
        await stdin.send(text.encode())
        await stdin.aclose()
        pending, sample_rate_hz = b"", 0
        async for received in stdout:
            pending += received
            if not sample_rate_hz and len(pending) >= HEADER_BYTES:
                sample_rate_hz = int.from_bytes(pending[:HEADER_BYTES], "little")
                pending = pending[HEADER_BYTES:]
            whole = len(pending) - len(pending) % 2
            if sample_rate_hz and whole:
                await self.push_frame(OutputAudio(pending[:whole], sample_rate_hz))
                pending = pending[whole:]
        complaint = b"".join([received async for received in stderr])
        if await process.wait() == 0:
            return ""
        return complaint.decode(errors="replace").strip() or "failed"


def _command(voice: str, words_per_minute: int) -> list[str]:
    if not is_installed():
        raise VoiceMissingError
    program = "offhook.services.espeak_process"
    return [sys.executable, "-P", "-m", program, voice, str(words_per_minute)]
