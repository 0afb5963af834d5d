"""A small server that speaks to the page as Offhook does, and misbehaves when a test says so."""

import fractions
import itertools
import json
import socket
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import anyio
import av
import numpy as np
import uvicorn
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from anyio.abc import TaskGroup
from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import offhook.server

CLIENT: Final = Path(offhook.server.__file__).parent / "static" / "client"
POLICY: Final = "default-src 'self'; connect-src 'self'; media-src 'self' blob:; style-src 'self'"
RATE_HZ: Final = 48_000
FRAME_SAMPLES: Final = 960
GREETING_HZ: Final = 660
GREETING_FRAMES: Final = 60
WAIT_S: Final = 15.0


@dataclass
class Behaviour:
    """How the next sessions go."""

    start_errors: deque[tuple[int, dict[str, str]]] = field(default_factory=deque)
    offer_errors: deque[tuple[int, dict[str, str]]] = field(default_factory=deque)
    takes_text: bool = True
    says_ready: bool = True
    ice_config: dict[str, Any] | None = None


class Voice(MediaStreamTrack):
    """What the bot says: a tone as its greeting, then an echo of what it hears."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.heard: deque[np.ndarray] = deque(maxlen=50)
        self._greeting: Iterator[int] = iter(())
        self._sent = 0
        self._started_at: float | None = None

    def greet(self) -> None:
        self._greeting = iter(range(GREETING_FRAMES))

    async def recv(self) -> av.AudioFrame:
        if self._started_at is None:
            self._started_at = anyio.current_time()
        due_at = self._started_at + self._sent / RATE_HZ
        await anyio.sleep(max(0, due_at - anyio.current_time()))
        frame = av.AudioFrame.from_ndarray(self._samples()[None, :], format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE_HZ, self._sent
        frame.time_base = fractions.Fraction(1, RATE_HZ)
        self._sent += FRAME_SAMPLES
        return frame

    def _samples(self) -> np.ndarray:
        index = next(self._greeting, None)
        if index is not None:
            at = (np.arange(FRAME_SAMPLES) + index * FRAME_SAMPLES) / RATE_HZ
            return (np.sin(2 * np.pi * GREETING_HZ * at) * 9000).astype(np.int16)
        return self.heard.popleft() if self.heard else np.zeros(FRAME_SAMPLES, np.int16)


class StandInSession:
    """One conversation, as the server side of it sees it."""

    def __init__(self, session_id: str, behaviour: Behaviour, portal: BlockingPortal) -> None:
        self.id = session_id
        self.offers: list[dict[str, Any]] = []
        self.candidates: list[dict[str, Any]] = []
        self.messages: list[dict[str, Any]] = []
        self.pings: list[str] = []
        self.closed: list[str] = []
        self._behaviour, self._portal = behaviour, portal
        self._changed = threading.Condition()
        self._channel: Any = None
        self._voice = Voice()
        self._pc: RTCPeerConnection | None = None
        self._pc_ids = (f"pc-{session_id}-{n}" for n in itertools.count())
        self._pc_id = ""
        self._opened_at = anyio.current_time()
        self._told: list[tuple[str, dict[str, Any]]] = []
        self._news = anyio.Event()
        self.tell_step("accepted")

    # For the tests, from their thread

    def wait_for(self, condition: Callable[["StandInSession"], object]) -> None:
        """Wait until something that the page did makes the condition true."""
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self), WAIT_S), (
                "it did not come to that"
            )

    def messages_of(self, kind: str) -> list[dict[str, Any]]:
        return [each for each in self.messages if each["type"] == kind]

    def send(self, kind: str, data: Mapping[str, Any] | None = None, **more: Any) -> None:
        """Send an RTVI message to the page."""
        message = {"label": "rtvi-ai", "type": kind, **more}
        if data is not None:
            message["data"] = data
        self.send_raw(json.dumps(message))

    def signal(self, kind: str) -> None:
        self.send_raw(json.dumps({"type": "signalling", "message": {"type": kind}}))

    def send_raw(self, text: str) -> None:
        self._portal.call(self._channel.send, text)

    def end(self, reason: str, words: str) -> None:
        """Tell how it ended, as the server does, and close the stream of events."""
        self._portal.call(
            self._tell, "end", {"end_reason": reason, "end_words": words, "at_s": 1.0}
        )

    def hang_up(self) -> None:
        """Say goodbye and close, as a bot does that has finished."""
        self.signal("peerLeft")
        self._portal.call(self._close)

    def vanish(self) -> None:
        """Be gone from the network without a word."""
        assert self._pc is not None
        assert self._pc.sctp is not None
        self._portal.call(self._pc.sctp.transport.transport.stop)

    def drop_channel(self) -> None:
        """Close the data channel alone."""
        self._portal.call(self._channel.close)

    def greet(self) -> None:
        """Play the greeting once more."""
        self._portal.call(self._voice.greet)

    # For the server, in its event loop

    async def answer(self, body: dict[str, Any], group: TaskGroup) -> dict[str, str]:
        is_new = self._pc is None or bool(body.get("restart_pc"))
        if is_new:
            await self._renew(group)
        assert self._pc is not None
        await self._pc.setRemoteDescription(RTCSessionDescription(body["sdp"], body["type"]))
        await self._pc.setLocalDescription(await self._pc.createAnswer())
        for step in ("admitted", "worker_leased", "bot_entered", "answer_sent"):
            self.tell_step(step)
        self._record(self.offers, body)
        description = self._pc.localDescription
        return {"sdp": description.sdp, "type": description.type, "pc_id": self._pc_id}

    def take_candidates(self, body: dict[str, Any]) -> None:
        self._record(self.candidates, body)

    def tell_step(self, step: str) -> None:
        if any(data.get("step") == step for _, data in self._told):
            return
        at_s = anyio.current_time() - self._opened_at
        self._tell("step", {"step": step, "at_s": at_s})

    async def events(self) -> AsyncIterator[str]:
        for position in itertools.count():
            while position >= len(self._told):
                await self._news.wait()
            kind, data = self._told[position]
            yield f"event: {kind}\ndata: {json.dumps(data)}\n\n"
            if kind == "end":
                return

    async def _renew(self, group: TaskGroup) -> None:
        if self._pc is not None:
            await self._pc.close()
            self._voice = Voice()
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._pc, self._pc_id = pc, next(self._pc_ids)
        pc.addTrack(self._voice)

        @pc.on("datachannel")
        def _(channel: Any) -> None:
            self._channel = channel
            channel.on("message", self._received)
            channel.on("close", lambda: self._record(self.closed, "channel"))
            self.tell_step("data_channel_open")

        @pc.on("iceconnectionstatechange")
        def _() -> None:
            if pc.iceConnectionState == "completed":
                self.tell_step("ice_connected")

        @pc.on("track")
        def _(track: MediaStreamTrack) -> None:
            group.start_soon(self._listen, track, self._voice)

    async def _listen(self, track: MediaStreamTrack, voice: Voice) -> None:
        try:
            while True:
                frame = await track.recv()
                assert isinstance(frame, av.AudioFrame)
                stereo = frame.to_ndarray().reshape(-1, len(frame.layout.channels))
                voice.heard.append(stereo[:, 0].copy())
        except MediaStreamError:
            return

    def _received(self, text: str) -> None:
        if text.startswith("ping"):
            self._record(self.pings, text)
            return
        message = json.loads(text)
        if message["type"] == "client-ready" and self._behaviour.says_ready:
            self._greet_in_words(message["id"])
        if message["type"] == "send-text":
            self._take_text(message)
        self._record(self.messages, message)

    def _greet_in_words(self, request_id: str) -> None:
        self._say("bot-ready", {"version": "2.2.0", "about": {"library": "standin"}}, id=request_id)
        self._say("bot-started-speaking")
        self._say("bot-tts-text", {"text": "Hello"})
        self._say("bot-transcription", {"text": "Hello there."})
        self._voice.greet()
        for step in ("client_ready", "bot_ready", "ready", "first_audio_out"):
            self.tell_step(step)

    def _take_text(self, message: dict[str, Any]) -> None:
        if self._behaviour.takes_text:
            content = message["data"]["content"]
            self._say("bot-transcription", {"text": f"You wrote {content}"})
        else:
            refusal = {"error": "Unsupported type send-text"}
            self._say("error-response", refusal, id=message["id"])

    def _say(self, kind: str, data: dict[str, Any] | None = None, **more: Any) -> None:
        self._channel.send(
            json.dumps(
                {"label": "rtvi-ai", "type": kind, **more} | ({"data": data} if data else {})
            )
        )

    def _tell(self, kind: str, data: dict[str, Any]) -> None:
        self._told.append((kind, data))
        self._news.set()
        self._news = anyio.Event()

    async def _close(self) -> None:
        if self._pc is not None:
            await self._pc.close()

    def _record(self, where: list[Any], what: Any) -> None:
        with self._changed:
            where.append(what)
            self._changed.notify_all()


class StandIn:
    """The server, as the tests hold it."""

    def __init__(self, url: str, portal: BlockingPortal) -> None:
        self.url = url
        self.behaviour = Behaviour()
        self.sessions: dict[str, StandInSession] = {}
        self._portal = portal
        self._changed = threading.Condition()

    def session(self, number: int = 0) -> StandInSession:
        """The session with this number, once there is one."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.sessions) > number, WAIT_S)
            return list(self.sessions.values())[number]

    def reset(self) -> None:
        """Forget what was, behave again."""
        self._portal.call(self._close_all)
        self.behaviour, self.sessions = Behaviour(), {}

    async def start(self, _: Request) -> Response:
        if self.behaviour.start_errors:
            return refusal(self.behaviour.start_errors.popleft())
        with self._changed:
            session = StandInSession(f"s{len(self.sessions)}", self.behaviour, self._portal)
            self.sessions[session.id] = session
            self._changed.notify_all()
        reply: dict[str, Any] = {"sessionId": session.id}
        if self.behaviour.ice_config is not None:
            reply["iceConfig"] = self.behaviour.ice_config
        return JSONResponse(reply)

    async def offer(self, request: Request) -> Response:
        if self.behaviour.offer_errors:
            return refusal(self.behaviour.offer_errors.popleft())
        session = self.sessions[request.path_params["session_id"]]
        return JSONResponse(await session.answer(await request.json(), request.app.state.group))

    async def candidates(self, request: Request) -> Response:
        self.sessions[request.path_params["session_id"]].take_candidates(await request.json())
        return JSONResponse({"status": "success"})

    async def events(self, request: Request) -> Response:
        session = self.sessions[request.path_params["session_id"]]
        return StreamingResponse(session.events(), media_type="text/event-stream")

    async def _close_all(self) -> None:
        for session in self.sessions.values():
            await session._close()  # noqa: SLF001 -- both are this stand-in
            session._tell("end", {"end_reason": "drained", "end_words": "", "at_s": 0})  # noqa: SLF001


def refusal(error: tuple[int, dict[str, str]]) -> Response:
    status, body = error
    return JSONResponse(body, status_code=status)


class PolicyMiddleware:
    """Sends the page with the policy that the server sends it with."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"content-security-policy", POLICY.encode()),
                ]
            await send(message)

        await self._app(scope, receive, send_with_policy)


def create_app(standin: StandIn) -> Starlette:
    offer_path = "/sessions/{session_id}/api/offer"
    routes = [
        Route("/start", standin.start, methods=["POST"]),
        Route(offer_path, standin.offer, methods=["POST"]),
        Route(offer_path, standin.candidates, methods=["PATCH"]),
        Route("/sessions/{session_id}/events", standin.events),
        Mount("/client", StaticFiles(directory=CLIENT, html=True)),
    ]
    return Starlette(routes=routes, middleware=[Middleware(PolicyMiddleware)])


async def serve_on(app: Starlette, server: uvicorn.Server, listener: socket.socket) -> None:
    async with anyio.create_task_group() as group:
        app.state.group = group
        await server.serve(sockets=[listener])
        group.cancel_scope.cancel()


@contextmanager
def running_standin() -> Iterator[StandIn]:
    """Serve on a free port of this machine, in a thread, until the block ends."""
    config_of = {"host": "127.0.0.1", "port": 0, "log_level": "warning", "lifespan": "off"}
    with start_blocking_portal("asyncio") as portal:
        standin = StandIn("", portal)
        app = create_app(standin)
        config = uvicorn.Config(app, timeout_graceful_shutdown=1, **config_of)  # type: ignore[arg-type]
        config.load()
        listener = config.bind_socket()
        standin.url = f"http://localhost:{listener.getsockname()[1]}"
        server = uvicorn.Server(config)
        serving = portal.start_task_soon(serve_on, app, server, listener)
        try:
            yield standin
        finally:
            standin.reset()
            server.should_exit = True
            serving.result(WAIT_S)
