"""Greets with a tone, sends back what it hears, and does what it is told to."""

import math
import os
import signal
import struct

from offhook.kit import (
    Frame,
    FrameDirection,
    FrameProcessor,
    InputAudio,
    OutputAudio,
    Pipeline,
    PipelineRunner,
    PipelineTask,
    Text,
    TransportParams,
)
from offhook.runner.types import SmallWebRTCRunnerArguments
from offhook.transports.webrtc import SmallWebRTCTransport

RATE_HZ = 16_000
GREETING_HZ = 660
GREETING_S = 1.0
SPEECH_HZ = 1100


def tone(hz: int, seconds: float) -> OutputAudio:
    count = int(seconds * RATE_HZ)
    samples = (int(9000 * math.sin(2 * math.pi * hz * n / RATE_HZ)) for n in range(count))
    return OutputAudio(struct.pack(f"<{count}h", *samples), RATE_HZ)


class Echo(FrameProcessor):
    """Sends the user's audio back, but for what came during the greeting."""

    def __init__(self) -> None:
        super().__init__()
        self.deaf_s = GREETING_S

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        match frame:
            case InputAudio(pcm, rate_hz) if self.deaf_s <= 0:
                await self.push_frame(OutputAudio(pcm, rate_hz))
            case Text(text):
                raise RuntimeError(text)
            case InputAudio():
                self.deaf_s -= frame.duration_s
            case _:
                await self.push_frame(frame, direction)


async def bot(runner_args: SmallWebRTCRunnerArguments) -> None:
    transport = SmallWebRTCTransport(
        params=TransportParams(
            audio_in_enabled=True, audio_in_sample_rate=RATE_HZ, audio_out_enabled=True
        ),
        webrtc_connection=runner_args.webrtc_connection,
    )
    echo = Echo()
    task = PipelineTask(Pipeline([transport.input(), echo, transport.output()]))

    @transport.event_handler("on_client_connected")
    async def on_client_connected(transport, client):
        await task.queue_frame(tone(GREETING_HZ, GREETING_S))

    @transport.event_handler("on_client_disconnected")
    async def on_client_disconnected(transport, client):
        await task.cancel()

    @task.rtvi.event_handler("on_client_message")
    async def on_client_message(rtvi, message):
        match message.type:
            case "double":
                await rtvi.send_server_response(message, {"doubled": 2 * message.data["number"]})
            case "speak":
                echo.deaf_s = message.data["seconds"]
                await task.queue_frame(tone(SPEECH_HZ, message.data["seconds"]))
            case "note":
                await rtvi.send_server_message({"text": message.data["text"]})
            case other:
                await rtvi.send_error_response(message, f"{other}? Never heard of it.")

    @task.rtvi.event_handler("on_send_text")
    async def on_send_text(rtvi, text):
        await obey(text.content, task)

    await PipelineRunner(handle_sigint=runner_args.handle_sigint).run(task)


async def obey(order: str, task: PipelineTask) -> None:
    """End in one of the ways in which bots end."""
    match order:
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "raise":
            await task.queue_frame(Text("told to"))
        case "finish":
            await task.end()
        case "fatal":
            await task.rtvi.send_error("The voice is gone.", fatal=True)
