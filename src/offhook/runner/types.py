"""The arguments of a bot, under the path that bot authors know."""

from offhook.kit.arguments import (
    DailyRunnerArguments,
    LiveKitRunnerArguments,
    RunnerArguments,
    SmallWebRTCRunnerArguments,
    WebSocketRunnerArguments,
)

__all__ = [
    "DailyRunnerArguments",
    "LiveKitRunnerArguments",
    "RunnerArguments",
    "SmallWebRTCRunnerArguments",
    "WebSocketRunnerArguments",
]
