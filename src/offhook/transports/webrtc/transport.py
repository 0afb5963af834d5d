"""The bot's side of a WebRTC connection: frames in, frames out."""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

import anyio

from offhook.kit.events import Events, HandlerT
from offhook.kit.frames import (
    BotStartedSpeaking,
    BotStoppedSpeaking,
    End,
    Frame,
    InputAudio,
    InputMessage,
    OutputAudio,
    OutputMessage,
)
from offhook.kit.transport import Deliver, InputTransport, OutputTransport, TransportParams
from offhook.transports.webrtc.connection import SmallWebRTCConnection

log = logging.getLogger(__name__)

WAITING_LIMIT: Final = 1000
"""Messages that may wait for a pipeline that is slow."""
EVENTS: Final = ("on_client_connected", "on_client_disconnected", "on_app_message")


class SmallWebRTCTransport:
    """Connects a pipeline with one browser: put `input()` at its head and `output()` at its end.

    Args:
        params: What the bot hears and says, and how.
        webrtc_connection: The `webrtc_connection` of the runner's arguments.

    Its events, for `event_handler`:

    - `on_client_connected(transport, client)`: the client is there and the bot listens. What the
      client sent before is delivered after this.
    - `on_client_disconnected(transport, client)`: the client has gone, by itself. Usually the
      handler does `await task.cancel()`; a bot that does nothing is ended a little later.
    - `on_app_message(transport, message, sender)`: the client sent a message of any kind.
    """

    def __init__(
        self, *, params: TransportParams, webrtc_connection: SmallWebRTCConnection
    ) -> None:
        self.params: TransportParams = params
        self._connection = webrtc_connection
        self._events = Events(self, EVENTS)
        self._input = InputTransport(self, params, self._events)
        self._output = OutputTransport(self, params, self._events)
        self._waiting: deque[Frame] = deque()
        self._came = anyio.Event()
        self._has_connected = self._is_receiving = self._is_gone = self._is_closed = False
        webrtc_connection.event_handler("connected")(self._on_connected)
        webrtc_connection.event_handler("closed")(self._on_closed)
        webrtc_connection.event_handler("app-message")(self._on_message)
        webrtc_connection.on_audio_out(self._on_audio_out)
        if params.audio_out_enabled:
            webrtc_connection.open_audio_out(
                sample_rate_hz=params.audio_out_sample_rate, channels=params.audio_out_channels
            )

    def input(self) -> InputTransport:
        """The pipeline's first processor."""
        return self._input

    def output(self) -> OutputTransport:
        """The pipeline's last processor."""
        return self._output

    def event_handler(self, name: str) -> Callable[[HandlerT], HandlerT]:
        """Register the decorated coroutine function for an event.

        Raises:
            UsageError: There is no event of this name; the error lists those that exist.
        """
        return self._events.event_handler(name)

    # What the pipeline's two ends use, see kit.transport.Transport

    async def receive(self, deliver: Deliver) -> None:
        """Deliver audio, messages and what becomes of our own audio, until the client has gone."""
        if self.params.audio_in_enabled:
            self._connection.open_audio_in(
                sample_rate_hz=self.params.audio_in_sample_rate,
                channels=self.params.audio_in_channels,
            )
        self._is_receiving = True
        await self._connection.connect()
        if self._is_gone:  # before the bot was ready to hear of it
            self._events.emit("on_client_disconnected", self._connection)
        async with anyio.create_task_group() as group:
            if self.params.audio_in_enabled:
                group.start_soon(self._receive_audio, deliver)
            while not (self._is_gone and not self._waiting):
                while self._waiting:
                    await deliver(self._waiting.popleft())
                if not self._is_gone:
                    self._came = anyio.Event()
                    await self._came.wait()
            group.cancel_scope.cancel()

    async def send(self, frame: Frame) -> None:
        """Send audio or a message; for `End`, wait until all audio has been played."""
        match frame:
            case OutputAudio(pcm):
                await self._connection.send_audio(pcm)
            case OutputMessage(data):
                self._connection.send_app_message(data)
            case End():
                await self._connection.audio_sent()
            case _:  # pragma: no cover  # the pipeline's end sends nothing else
                pass

    async def flush(self) -> None:
        """Forget what was sent but not yet played."""
        self._connection.flush_audio()

    async def aclose(self) -> None:
        """Take no part any more; the connection itself is closed by the worker."""
        if not self._is_closed:
            self._is_closed = True
            self._connection.flush_audio()

    async def _receive_audio(self, deliver: Deliver) -> None:
        while True:
            try:
                chunk = await self._connection.receive_audio()
            except anyio.EndOfStream:
                self._gone()
                return
            await deliver(InputAudio(*chunk))

    # What the connection reports

    async def _on_connected(self, connection: SmallWebRTCConnection) -> None:
        if not self._has_connected:
            self._has_connected = True
            self._events.emit("on_client_connected", connection)

    async def _on_closed(self, _connection: SmallWebRTCConnection) -> None:
        self._gone()

    async def _on_message(
        self, connection: SmallWebRTCConnection, message: Mapping[str, object]
    ) -> None:
        self._events.emit("on_app_message", message, connection.pc_id)
        self._deliver_soon(InputMessage(message))

    def _on_audio_out(self, is_talking: bool) -> None:  # noqa: FBT001 -- the connection's callback
        self._deliver_soon(BotStartedSpeaking() if is_talking else BotStoppedSpeaking())

    def _gone(self) -> None:
        if not (self._is_gone or self._is_closed):
            self._is_gone = True
            self._came.set()
            if self._is_receiving:
                self._events.emit("on_client_disconnected", self._connection)

    def _deliver_soon(self, frame: Frame) -> None:
        if len(self._waiting) >= WAITING_LIMIT:
            log.warning("frame dropped", extra={"frame": type(frame).__name__})
            return
        self._waiting.append(frame)
        self._came.set()
