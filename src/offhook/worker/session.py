"""One session in its worker: the bot, its connection, and who ends whom."""

import logging
import traceback
from collections.abc import Callable
from typing import Final

import anyio
import anyio.lowlevel
import msgspec
from anyio.abc import TaskGroup

from offhook.channel import Channel, ChannelClosedError, ChannelFullError
from offhook.clock import Clock
from offhook.errors import BadMessageError, PeerError, WorkerError
from offhook.kit.arguments import RunnerArguments, SmallWebRTCRunnerArguments
from offhook.protocol.control import (
    Answered,
    AnyMessage,
    Candidates,
    CloseSession,
    Heartbeat,
    Offer,
    Progress,
    SessionEnded,
    SessionSettings,
    StartBot,
    Step,
)
from offhook.protocol.endings import Ending, EndReason
from offhook.transports.webrtc.connection import SmallWebRTCConnection
from offhook.transports.webrtc.settings import WebRTCSettings
from offhook.worker.load import Bot

log = logging.getLogger(__name__)

HEARTBEAT_S: Final = 2.0
LAST_WORDS_TIMEOUT_S: Final = 4.0

ConnectionFactory = Callable[..., SmallWebRTCConnection]


def _only_cause(error: BaseException) -> BaseException:
    """Look into groups of one, which task groups make of whatever is raised in them."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


class WorkerSession:
    """Runs the bot over its connection until one of both, or the server, ends it.

    It is made while the worker is idle: between the order to start and the first line of the bot
    there is as little to do as possible.
    """

    def __init__(
        self,
        channel: Channel,
        bot: Bot,
        settings: SessionSettings,
        *,
        clock: Clock,
        connection: ConnectionFactory = SmallWebRTCConnection,
    ) -> None:
        self._channel, self._bot, self._settings, self._clock = channel, bot, settings, clock
        self._ending: Ending | None = None
        self._bot_scope = anyio.CancelScope()
        self._bot_done = anyio.Event()
        self._handshake_begun = anyio.Event()
        self._handshake_done = anyio.Event()
        self._connection = connection(
            settings=WebRTCSettings(
                ice_servers=settings.ice_servers,
                udp_ports=settings.udp_ports,
                connect_timeout_s=settings.connect_timeout_s,
                client_lost_after_s=settings.client_lost_after_s,
            ),
            observer=self,
        )

    def progress(self, step: Step) -> None:
        """Report a step at this moment; what the connection calls."""
        if step is Step.CLIENT_READY:
            self._handshake_begun.set()
        elif step is Step.BOT_READY:
            self._handshake_done.set()
        self._tell(Progress(step=step, at=self._clock.now()))

    async def run(self, start: StartBot) -> Ending:
        """Run the bot; come back when the session is over and everybody has been told."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._attend, group)  # once the bot waits for something
            await self._run_bot(start)
            self._bot_done.set()
            # A bot that ends because its caller left may be seen here before `_watch_peer` is.
            await anyio.lowlevel.checkpoint()
            ending = self._end(EndReason.BOT_FINISHED)
            with anyio.move_on_after(LAST_WORDS_TIMEOUT_S, shield=True):
                await self._connection.aclose(error=self._error_for_client(ending))
            group.cancel_scope.cancel()
        self._tell(SessionEnded(reason=ending.reason, detail=ending.detail))
        return ending

    async def _attend(self, group: TaskGroup) -> None:
        group.start_soon(self._connection.run)
        group.start_soon(self._control)
        group.start_soon(self._watch_peer)
        group.start_soon(self._watch_handshake)
        group.start_soon(self._beat)

    async def _run_bot(self, start: StartBot) -> None:
        self.progress(Step.BOT_ENTERED)
        try:
            with self._bot_scope:
                await self._bot(self._arguments(start))
        except (Exception, BaseExceptionGroup, SystemExit) as error:  # noqa: BLE001 -- the session's boundary
            # One that stumbles over the end of its connection is here before `_watch_peer` is.
            await anyio.lowlevel.checkpoint()
            match cause := _only_cause(error):
                case SystemExit(code=None | 0):
                    return
                case SystemExit(code=code):
                    self._crashed(f"exit code {code}")
                case _:
                    traceback.print_exc()
                    self._crashed(type(cause).__name__)

    def _arguments(self, start: StartBot) -> RunnerArguments:
        return SmallWebRTCRunnerArguments(
            webrtc_connection=self._connection,
            body=msgspec.json.decode(start.body),
            session_id=start.session_id,
        )

    async def _control(self) -> None:
        while True:
            try:
                message = (await self._channel.receive()).message
            except ChannelClosedError:
                await self._close(Ending(EndReason.HOST_LOST, "the server has gone"))
                return
            except BadMessageError as error:
                log.warning("unknown message ignored: %s", error.problem)
                continue
            await self._obey(message)

    async def _obey(self, message: AnyMessage) -> None:
        match message:
            case Offer():
                self._tell(await self._answer(message))
            case Candidates(candidates=candidates):
                await self._connection.add_ice_candidates(candidates)
            case CloseSession():
                await self._close(Ending(EndReason(message.reason)))
            case _:
                log.warning("message out of place ignored: %s", type(message).__name__)

    async def _answer(self, offer: Offer) -> Answered:
        try:
            answer = await self._connection.answer(offer.sdp, restart_pc=offer.restart_pc)
        except (PeerError, WorkerError) as error:
            if self._ending is not None:  # then that is what the client has to know
                problem, is_peer_fault = self._ending.words, False
            else:
                problem, is_peer_fault = error.detail, isinstance(error, PeerError)
            return Answered(request=offer.request, problem=problem, is_peer_fault=is_peer_fault)
        return Answered(request=offer.request, sdp=answer.sdp, pc_id=answer.pc_id)

    async def _close(self, ending: Ending) -> None:
        self._end(ending.reason, ending.detail)
        await self._connection.aclose(error=self._error_for_client(ending))
        self._bot_scope.cancel()

    async def _watch_peer(self) -> None:
        """Once the client has gone, the bot has some time to finish; then it is cancelled."""
        self._end(await self._connection.closed())
        with anyio.move_on_after(self._settings.close_timeout_s / 2):
            await self._bot_done.wait()
        self._bot_scope.cancel()

    async def _watch_handshake(self) -> None:
        await self._handshake_begun.wait()
        with anyio.move_on_after(self._settings.handshake_timeout_s):
            await self._handshake_done.wait()
            return
        await self._close(Ending(EndReason.HANDSHAKE_TIMEOUT))

    async def _beat(self) -> None:
        due = self._clock.now() + HEARTBEAT_S
        while True:
            await anyio.sleep(due - self._clock.now())
            now = self._clock.now()
            self._tell(Heartbeat(lag_ms=round((now - due) * 1000, 1)))
            due = now + HEARTBEAT_S

    def _crashed(self, detail: str) -> None:
        # What has ended already is not made a crash by the bot's stumbling over it.
        self._end(EndReason.BOT_CRASHED, detail)

    def _end(self, reason: EndReason, detail: str = "") -> Ending:
        self._ending = self._ending or Ending(reason, detail)
        return self._ending

    @staticmethod
    def _error_for_client(ending: Ending) -> str | None:
        if ending.reason in {EndReason.BOT_FINISHED, EndReason.CLIENT_LEFT}:
            return None
        return ending.words

    def _tell(self, message: AnyMessage) -> None:
        try:
            self._channel.send(message)
        except ChannelClosedError:
            return  # `_control` sees the end of the channel too, and acts on it
        except ChannelFullError:
            log.warning("the server does not read; dropped %s", type(message).__name__)
