"""The pipeline's end of RTVI: the handshake, the application's messages, who is speaking."""

import logging
from collections.abc import Callable
from typing import Final

from offhook import __version__
from offhook.kit.events import Events, HandlerT
from offhook.kit.frames import (
    BotStartedSpeaking,
    BotStoppedSpeaking,
    ErrorFrame,
    Frame,
    FrameDirection,
    InputMessage,
    Interruption,
    OutputMessage,
    Start,
    UserStartedSpeaking,
    UserStoppedSpeaking,
)
from offhook.kit.processor import FrameProcessor
from offhook.kit.queue import BoundedQueue
from offhook.protocol import rtvi
from offhook.protocol.rtvi import ClientMessage, ClientReady, DisconnectBot, SendText, Signal

log = logging.getLogger(__name__)

WAITING_MESSAGES_LIMIT: Final = 100


def server_message(data: object) -> OutputMessage:
    """Make a frame that tells the client's application something; push it downstream."""
    return OutputMessage(rtvi.server_message(data))


def bot_transcription(text: str) -> OutputMessage:
    """Make a frame that shows the client's user what the bot says; push it ahead of the audio."""
    return OutputMessage(rtvi.bot_transcription(text))


class RTVIProcessor(FrameProcessor):
    """Speaks RTVI with the client. `PipelineTask` adds one if the pipeline has none.

    Its events, for `event_handler`:

    - `on_client_ready(rtvi)`: answer with `await rtvi.set_bot_ready()`. Without a handler that
      happens by itself.
    - `on_client_message(rtvi, message)`: answer with `send_server_response` or
      `send_error_response`, if at all.
    - `on_send_text(rtvi, text)`: the user typed something.

    Messages are handled in order, one at a time, beside the audio.
    """

    def __init__(self) -> None:
        super().__init__(
            events=Events(self, ("on_client_ready", "on_client_message", "on_send_text"))
        )
        self._client_ready: ClientReady | None = None
        self._is_bot_ready = False
        self._is_bot_speaking = False
        self._waiting = BoundedQueue[ClientMessage | SendText](WAITING_MESSAGES_LIMIT)

    def event_handler(self, name: str) -> Callable[[HandlerT], HandlerT]:
        """Register the decorated coroutine function for an event."""
        return self.events.event_handler(name)

    async def set_bot_ready(self) -> None:
        """Tell the client that the bot listens: now, or as soon as the client asks."""
        self._is_bot_ready = True
        if self._client_ready is None:
            return
        ready, self._client_ready = self._client_ready, None
        negotiated = rtvi.negotiate(ready.version)
        if negotiated.problem is not None:
            await self._send(rtvi.error_response(ready.msg_id, negotiated.problem))
        capabilities = {
            "audio_in": self.runtime.has_audio_in,
            "audio_out": self.runtime.has_audio_out,
            "video_in": False,
            "screen_in": False,
            "video_out": False,
        }
        await self._send(
            rtvi.bot_ready(
                ready.msg_id,
                version=negotiated.version,
                library_version=__version__,
                capabilities=capabilities,
            )
        )

    async def send_server_message(self, data: object) -> None:
        """Tell the client's application something; `data` is anything that JSON can hold."""
        await self._send(rtvi.server_message(data))

    async def send_server_response(self, message: ClientMessage, data: object = None) -> None:
        """Answer a message of the client's application."""
        await self._send(rtvi.server_response(message, data))

    async def send_error_response(self, message: ClientMessage, error: str) -> None:
        """Refuse a message of the client's application."""
        await self._send(rtvi.error_response(message.msg_id, error))

    async def send_error(self, error: str, *, fatal: bool = False) -> None:
        """Show the client an error; a fatal one makes it disconnect."""
        await self._send(rtvi.error(error, fatal=fatal))

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Translate between frames and messages; frames pass on, messages for RTVI do not."""
        match frame:
            case InputMessage(data) if data.get("label") == rtvi.LABEL:
                await self._receive(data)
                return
            case Start():
                self.start_soon(self._handle_messages)
            case UserStartedSpeaking():
                await self._signal(Signal.USER_STARTED_SPEAKING)
            case UserStoppedSpeaking():
                await self._signal(Signal.USER_STOPPED_SPEAKING)
            case BotStartedSpeaking():
                self._is_bot_speaking = True
                await self._signal(Signal.BOT_STARTED_SPEAKING)
            case BotStoppedSpeaking():
                self._is_bot_speaking = False
                await self._signal(Signal.BOT_STOPPED_SPEAKING)
            case Interruption() if self._is_bot_speaking:
                await self._signal(Signal.BOT_INTERRUPTED)
            case ErrorFrame(error, is_fatal) if direction is FrameDirection.DOWNSTREAM:
                await self.send_error(error, fatal=is_fatal)
            case _:
                pass
        await self.push_frame(frame, direction)

    async def _receive(self, data: object) -> None:
        try:
            event = rtvi.parse(data)
        except rtvi.BadRTVIMessageError as error:
            await self._send(error.reply)
            return
        match event:
            case ClientReady():
                self._client_ready = event
                if self._is_bot_ready or not self.events.has_handler("on_client_ready"):
                    await self.set_bot_ready()
                self.events.emit("on_client_ready")
            case DisconnectBot():
                log.info("client asks the bot to leave")
                await self.broadcast(Interruption())
                await self.runtime.end()
            case ClientMessage() | SendText():
                await self._wait_turn(event)
            case None:  # pragma: no cover  # the caller has looked at the label
                pass

    async def _wait_turn(self, event: ClientMessage | SendText) -> None:
        if len(self._waiting) < WAITING_MESSAGES_LIMIT:
            await self._waiting.put(event)
        else:
            text = f"{WAITING_MESSAGES_LIMIT} messages are waiting already."
            await self._send(rtvi.error_response(event.msg_id, text))

    async def _handle_messages(self) -> None:
        while True:
            event = await self._waiting.get()
            name = "on_send_text" if isinstance(event, SendText) else "on_client_message"
            try:
                await self.events.call(name, event)
            except Exception as error:
                log.exception("event handler failed", extra={"event": name})
                text = f"Exception processing message: {type(error).__name__}"
                await self._send(rtvi.error_response(event.msg_id, text))

    async def _signal(self, kind: Signal) -> None:
        await self._send(rtvi.signal(kind))

    async def _send(self, message: rtvi.JsonObject) -> None:
        await self.push_frame(OutputMessage(message))
