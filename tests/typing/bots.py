"""What bot authors write, as a type checker sees it. Checked, never run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_type

from offhook.kit import (
    ClientMessage,
    CustomFrame,
    End,
    Frame,
    FrameDirection,
    FrameProcessor,
    InputAudio,
    InputTransport,
    OutputAudio,
    OutputMessage,
    OutputTransport,
    Pipeline,
    PipelineParams,
    PipelineRunner,
    PipelineTask,
    Resampler,
    RTVIProcessor,
    SendText,
    SileroVADAnalyzer,
    Text,
    TransportParams,
    VADEvent,
    VADParams,
    resample,
    server_message,
)
from offhook.runner.types import RunnerArguments, SmallWebRTCRunnerArguments
from offhook.services.espeak import EspeakTTS, synthesize
from offhook.transports.webrtc import SmallWebRTCTransport


@dataclass(frozen=True)
class Mood(CustomFrame):
    name: str


class Author(FrameProcessor):
    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        match frame:
            case InputAudio(pcm, sample_rate_hz, channels):
                assert_type(pcm, bytes)
                assert_type(sample_rate_hz, int)
                await self.push_frame(OutputAudio(pcm, sample_rate_hz, channels))
            case Text(text):
                assert_type(text, str)
            case Mood(name):
                assert_type(name, str)
            case _:
                await self.push_frame(frame, direction)

    async def later(self, seconds: float) -> None:
        self.start_soon(self.later, seconds).cancel()
        self.start_soon(self.later, "soon")  # type: ignore[arg-type]  # has to be found


async def bot(runner_args: SmallWebRTCRunnerArguments) -> None:
    analyzer = SileroVADAnalyzer(params=VADParams(stop_secs=0.5))
    transport = SmallWebRTCTransport(
        params=TransportParams(
            audio_in_enabled=True, audio_out_enabled=True, vad_analyzer=analyzer
        ),
        webrtc_connection=runner_args.webrtc_connection,
    )
    rtvi = RTVIProcessor()
    parts = Pipeline([Author(), EspeakTTS()])
    task = PipelineTask(
        Pipeline([transport.input(), rtvi, parts, transport.output()]),
        params=PipelineParams(allow_interruptions=False),
        idle_timeout_secs=runner_args.pipeline_idle_timeout_secs,
    )
    assert_type(transport.input(), InputTransport)
    assert_type(transport.output(), OutputTransport)
    assert_type(task.rtvi, RTVIProcessor)

    @transport.event_handler("on_client_connected")
    async def on_client_connected(transport: SmallWebRTCTransport, client: object) -> int:
        await task.queue_frames([Text("Hello."), Mood("good"), End()])
        return 1

    assert_type(await on_client_connected(transport, object()), int)

    @rtvi.event_handler("on_client_ready")
    async def on_client_ready(rtvi: RTVIProcessor) -> None:
        await rtvi.set_bot_ready()

    @rtvi.event_handler("on_client_message")
    async def on_client_message(rtvi: RTVIProcessor, message: ClientMessage) -> None:
        assert_type(message.type, str)
        await rtvi.send_server_response(message, {"ok": True})
        await rtvi.send_error_response(message, "no")
        await rtvi.send_server_message([1, "a"])
        await rtvi.send_error("broken", fatal=True)

    @rtvi.event_handler("on_send_text")
    async def on_send_text(rtvi: RTVIProcessor, text: SendText) -> None:
        await task.queue_frame(Text(text.content))

    await task.queue_frame("text")  # type: ignore[arg-type]  # has to be found
    await PipelineRunner(handle_sigint=runner_args.handle_sigint).run(task)


def pieces(analyzer: SileroVADAnalyzer, arguments: RunnerArguments) -> None:
    assert_type(resample(b"", from_hz=8000, to_hz=16000), bytes)
    assert_type(Resampler(8000, 16000).resample(b""), bytes)
    assert_type(server_message({"a": 1}), OutputMessage)
    assert_type(synthesize("a"), tuple[bytes, int])
    assert_type(analyzer.analyze(b"", sample_rate_hz=16000, channels=1), Sequence[VADEvent])
    assert_type(arguments.session_id, str | None)
