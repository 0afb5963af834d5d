"""A parrot: it greets you and repeats whatever you say. Run it: `python bot.py -t webrtc`."""

from functools import cache

from offhook.kit import (
    Frame,
    FrameDirection,
    FrameProcessor,
    InputAudio,
    Interruption,
    OutputAudio,
    Pipeline,
    PipelineRunner,
    PipelineTask,
    SileroVADAnalyzer,
    Text,
    TransportParams,
    UserStartedSpeaking,
    UserStoppedSpeaking,
    VADParams,
    bot_transcription,
    server_message,
)
from offhook.runner.types import SmallWebRTCRunnerArguments
from offhook.services.espeak import EspeakTTS, synthesize
from offhook.transports.webrtc import SmallWebRTCTransport

GREETING = "Hello! I am a parrot. Say something, and I will repeat it."
RATE_HZ = 16_000
LEAD_S = 0.5  # kept from before the user was noticed, so that the first syllable is there
PAUSE_S = 0.7  # silence that ends a turn
LONGEST_S = 20.0  # of a longer turn the parrot remembers the end


class Parrot(FrameProcessor):
    """Listens while the user speaks, then says it all again."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = bytearray()
        self.keep_s = LEAD_S

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        match frame:
            case InputAudio(pcm):
                self.heard += pcm
                del self.heard[: -samples(self.keep_s)]
            case UserStartedSpeaking():
                self.keep_s = LONGEST_S
            case UserStoppedSpeaking():
                await self.repeat(bytes(self.heard[: -samples(PAUSE_S / 2)]))
                self.heard.clear()
                self.keep_s = LEAD_S
        await self.push_frame(frame, direction)

    async def repeat(self, speech: bytes) -> None:
        audio = OutputAudio(speech, RATE_HZ)
        text = f"I repeated {audio.duration_s:.1f} s of speech"
        await self.push_frame(server_message({"type": "parrot", "text": text}))
        await self.push_frame(audio)


def samples(seconds: float) -> int:
    """The size of that much audio, in bytes."""
    return 2 * int(RATE_HZ * seconds)


@cache
def greeting() -> OutputAudio:
    return OutputAudio(*synthesize(GREETING))


def prewarm() -> None:
    """Runs once, before any conversation; all of them share what is made here."""
    greeting()


async def bot(runner_args: SmallWebRTCRunnerArguments) -> None:
    """One conversation, from the first word to the last."""
    transport = SmallWebRTCTransport(
        params=TransportParams(
            audio_in_enabled=True,
            audio_in_sample_rate=RATE_HZ,
            audio_out_enabled=True,
            vad_analyzer=SileroVADAnalyzer(params=VADParams(stop_secs=PAUSE_S)),
        ),
        webrtc_connection=runner_args.webrtc_connection,
    )
    pipeline = Pipeline([transport.input(), Parrot(), EspeakTTS(), transport.output()])
    task = PipelineTask(pipeline, idle_timeout_secs=runner_args.pipeline_idle_timeout_secs)

    @transport.event_handler("on_client_connected")
    async def on_client_connected(transport, client):
        await task.queue_frames([bot_transcription(GREETING), greeting()])

    @transport.event_handler("on_client_disconnected")
    async def on_client_disconnected(transport, client):
        await task.cancel()

    @task.rtvi.event_handler("on_send_text")
    async def on_send_text(rtvi, text):
        await task.queue_frames([Interruption(), Text(f"You wrote: {text.content}")])

    await PipelineRunner(handle_sigint=runner_args.handle_sigint).run(task)


if __name__ == "__main__":
    from offhook.runner.run import main

    main()
