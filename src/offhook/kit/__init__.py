"""What a bot author imports."""

from offhook.kit.arguments import (
    DailyRunnerArguments,
    LiveKitRunnerArguments,
    RunnerArguments,
    SmallWebRTCRunnerArguments,
    WebSocketRunnerArguments,
)
from offhook.kit.frames import (
    BotStartedSpeaking,
    BotStoppedSpeaking,
    Cancel,
    CustomFrame,
    End,
    ErrorFrame,
    Frame,
    FrameDirection,
    InputAudio,
    InputMessage,
    Interruption,
    OutputAudio,
    OutputMessage,
    Start,
    Text,
    UserStartedSpeaking,
    UserStoppedSpeaking,
)
from offhook.kit.pipeline import (
    Pipeline,
    PipelineError,
    PipelineParams,
    PipelineTask,
)
from offhook.kit.processor import FrameProcessor
from offhook.kit.resample import Resampler, resample
from offhook.kit.rtvi import RTVIProcessor, bot_transcription, server_message
from offhook.kit.runner import PipelineRunner
from offhook.kit.silero import SileroVADAnalyzer
from offhook.kit.transport import InputTransport, OutputTransport, Transport, TransportParams
from offhook.kit.turns import Turns, VADTurns
from offhook.kit.vad import VADAnalyzer, VADEvent, VADParams
from offhook.protocol.rtvi import ClientMessage, SendText

__all__ = [
    "BotStartedSpeaking",
    "BotStoppedSpeaking",
    "Cancel",
    "ClientMessage",
    "CustomFrame",
    "DailyRunnerArguments",
    "End",
    "ErrorFrame",
    "Frame",
    "FrameDirection",
    "FrameProcessor",
    "InputAudio",
    "InputMessage",
    "InputTransport",
    "Interruption",
    "LiveKitRunnerArguments",
    "OutputAudio",
    "OutputMessage",
    "OutputTransport",
    "Pipeline",
    "PipelineError",
    "PipelineParams",
    "PipelineRunner",
    "PipelineTask",
    "RTVIProcessor",
    "Resampler",
    "RunnerArguments",
    "SendText",
    "SileroVADAnalyzer",
    "SmallWebRTCRunnerArguments",
    "Start",
    "Text",
    "Transport",
    "TransportParams",
    "Turns",
    "UserStartedSpeaking",
    "UserStoppedSpeaking",
    "VADAnalyzer",
    "VADEvent",
    "VADParams",
    "VADTurns",
    "WebSocketRunnerArguments",
    "bot_transcription",
    "resample",
    "server_message",
]
