"""What an idle worker does so that its one session finds everything warm."""

import asyncio

from offhook.channel import Channel, socket_pair
from offhook.clock import SystemClock
from offhook.kit.arguments import RunnerArguments
from offhook.protocol.control import SessionSettings, StartBot
from offhook.transports.webrtc.rehearse import rehearse as rehearse_webrtc
from offhook.transports.webrtc.udp import new_event_loop
from offhook.worker.session import WorkerSession


async def rehearse() -> None:
    """Answer an offer that nobody made, and run a session that nobody calls."""
    await rehearse_webrtc()
    await rehearse_session()


async def rehearse_session() -> None:
    """Run a session with a bot that returns at once; its messages are read by nobody."""

    async def nobody(_: RunnerArguments) -> None:
        pass

    ours, theirs = socket_pair()
    with Channel(ours), Channel(theirs) as channel:
        session = WorkerSession(channel, nobody, SessionSettings(), clock=SystemClock())
        await session.run(StartBot(session_id="rehearsal", kind="webrtc"))


def prewarm() -> None:
    """Rehearse the session in the template too: what Python sets up on the way is shared then."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(rehearse_session())
