"""A caller on stock aiortc: what a browser does, without a browser."""

import asyncio
import contextlib
import fractions
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import av
import httpx
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

RATE_HZ = 48_000
FRAME = RATE_HZ // 50


class Tone(MediaStreamTrack):
    """A sine in real time."""

    kind = "audio"

    def __init__(self, hz: float) -> None:
        super().__init__()
        self._hz, self._number, self._begun = hz, 0, time.perf_counter()

    async def recv(self) -> av.AudioFrame:
        due = self._begun + self._number * 0.02
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        at = (np.arange(FRAME) + self._number * FRAME) / RATE_HZ
        samples = (np.sin(2 * np.pi * self._hz * at) * 12_000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), layout="mono")
        frame.sample_rate, frame.pts = RATE_HZ, self._number * FRAME
        frame.time_base = fractions.Fraction(1, RATE_HZ)
        self._number += 1
        return frame


class Caller:
    """One call to a running Offhook.

    Attributes:
        messages: What came over the data channel, parsed.
        heard_at: When each frame of audio came (seconds, monotonic).
    """

    def __init__(self, url: str, *, hz: float = 440.0, body: object = None) -> None:
        self.http = httpx.AsyncClient(base_url=url, timeout=20)
        self._body = body
        self._hz = hz
        self.session_id = ""
        self.pc_id: str | None = None
        self.messages: list[dict[str, Any]] = []
        self.heard_at: list[float] = []
        self._audio: list[np.ndarray] = []
        self._news = anyio.Event()
        self._readers: list[asyncio.Task[None]] = []
        self._new_peer()

    def _new_peer(self) -> None:
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.peer.addTrack(Tone(self._hz))
        self.channel = self.peer.createDataChannel("chat")
        self.channel.on("message", self._take_message)
        self.channel.on("open", self._changed)
        self.channel.on("close", self._changed)
        self.peer.on("connectionstatechange", self._changed)
        self.peer.on("track", self._listen)

    def _changed(self, *_: object) -> None:
        self._news.set()
        self._news = anyio.Event()

    def _take_message(self, text: str) -> None:
        self.messages.append(json.loads(text))
        self._changed()

    def _listen(self, track: MediaStreamTrack) -> None:
        async def read() -> None:
            with contextlib.suppress(MediaStreamError, asyncio.CancelledError):
                while True:
                    frame = await track.recv()
                    self.heard_at.append(time.perf_counter())
                    channels = len(frame.layout.channels)
                    self._audio.append(frame.to_ndarray().reshape(-1, channels)[:, 0])
                    self._changed()

        self._readers.append(asyncio.ensure_future(read()))  # noqa: TID251 -- a callback's task

    async def until(self, condition: Callable[[], object], *, timeout_s: float = 10.0) -> None:
        with anyio.fail_after(timeout_s):
            while not condition():
                await self._news.wait()

    def types(self) -> list[str]:
        """Types of the messages so far; of signalling ones, the inner type."""
        return [
            each["message"]["type"] if each["type"] == "signalling" else each["type"]
            for each in self.messages
        ]

    def send(self, message_type: str, data: object = None, message_id: str = "m1") -> None:
        message = {"label": "rtvi-ai", "type": message_type, "id": message_id, "data": data or {}}
        self.channel.send(json.dumps(message))

    async def start(self) -> None:
        response = await self.http.post("/start", json={"transport": "webrtc", "body": self._body})
        response.raise_for_status()
        self.session_id = response.json()["sessionId"]

    async def offer(self, **more: object) -> httpx.Response:
        await self.peer.setLocalDescription(await self.peer.createOffer())
        path = f"/sessions/{self.session_id}/api/offer" if self.session_id else "/api/offer"
        body = {"sdp": self.peer.localDescription.sdp, "type": "offer", "pc_id": self.pc_id, **more}
        return await self.http.post(path, json=body)

    async def call(self, **more: object) -> "Caller":
        """Start a session, connect, and come back when the data channel is open."""
        if not self.session_id:
            await self.start()
        response = await self.offer(**more)
        assert response.status_code == 200, response.text
        answer = response.json()
        self.pc_id = answer["pc_id"]
        await self.peer.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        await self.until(lambda: self.channel.readyState == "open")
        return self

    async def offer_anew(self) -> httpx.Response:
        """Offer a new peer connection in place of the one before, as a client does that lost it."""
        await self.peer.close()
        self._new_peer()
        return await self.offer(restart_pc=True)

    async def restart(self) -> None:
        """Come back with a new peer connection, as after a change of network."""
        old = self.peer
        self._new_peer()
        await self.call(restart_pc=True)
        await old.close()

    async def session(self) -> dict[str, Any]:
        response = await self.http.get(f"/sessions/{self.session_id}")
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    async def ended(self, *, timeout_s: float = 15.0) -> dict[str, Any]:
        """Wait until the server says that the session is over; return its record."""
        with anyio.fail_after(timeout_s):
            async with self.http.stream(
                "GET", f"/sessions/{self.session_id}/events", timeout=timeout_s
            ) as events:
                async for _ in events.aiter_lines():
                    pass
        return await self.session()

    def pitch_hz(self, *, last_s: float = 0.5) -> float:
        """The strongest frequency of what was heard last."""
        count = int(last_s * 50)
        samples = np.concatenate(self._audio[-count:]).astype(float)
        spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
        return float(np.argmax(spectrum)) * RATE_HZ / len(samples)

    def loudness(self, *, last_s: float = 0.5) -> float:
        count = int(last_s * 50)
        samples = np.concatenate(self._audio[-count:]).astype(float)
        return float(np.sqrt(np.mean(samples**2)))

    def longest_gap_s(self, *, since: float = 0.0) -> float:
        """The longest time between two frames of audio."""
        times = [at for at in self.heard_at if at >= since]
        return max(later - earlier for earlier, later in itertools.pairwise(times))

    async def refused(self) -> None:
        """Wait until the server admits nobody any more."""
        with anyio.fail_after(5):
            while (await self.http.get("/health/ready")).status_code == 200:  # noqa: ASYNC110 -- polls as a load balancer does
                await anyio.sleep(0.02)

    async def log(self, *, until: str = "") -> str:
        """What the session's process printed, as soon as it contains a text."""
        with anyio.fail_after(10):
            while True:
                text = (await self.http.get(f"/sessions/{self.session_id}/log")).text
                if until in text:
                    return text
                await anyio.sleep(0.02)

    def vanish(self) -> None:
        """Say and hear nothing any more, without a goodbye: the network has gone."""
        (transceiver,) = self.peer.getTransceivers()
        ice = transceiver.sender.transport.transport._connection  # noqa: SLF001 -- pulls the plug
        for protocol in ice._protocols:  # noqa: SLF001
            protocol.transport.abort()

    async def hang_up(self) -> None:
        await self.peer.close()
        for reader in self._readers:
            reader.cancel()
        await self.http.aclose()


@contextlib.asynccontextmanager
async def calling(url: str, **how: Any) -> AsyncIterator[Caller]:
    """A call that stands inside the block."""
    caller = Caller(url, **how)
    try:
        yield await caller.call()
    finally:
        await caller.hang_up()
