"""The other end: a client whose every packet a test decides, and a link that loses packets."""

import asyncio
import json
import math
import secrets
from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)

from offhook.transports.webrtc import rtp
from offhook.transports.webrtc.aiortc_internals import MediaPath
from offhook.transports.webrtc.connection import SmallWebRTCConnection
from offhook.transports.webrtc.opus import Application, OpusDecoder, OpusEncoder

OPUS_PAYLOAD_TYPE = 96
RATE_HZ = 16_000
FRAME_SAMPLES = RATE_HZ // 50


def tone(*, frames: int, hz: float = 440.0, rate_hz: int = RATE_HZ, level: int = 12_000) -> bytes:
    """Make 16-bit PCM of a sine, in frames of 20 ms."""
    samples = frames * rate_hz // 50
    return array(
        "h", (int(level * math.sin(2 * math.pi * hz * i / rate_hz)) for i in range(samples))
    ).tobytes()


def loudness(pcm: bytes) -> float:
    """Return the root mean square of 16-bit PCM."""
    samples = array("h", pcm)
    return math.sqrt(sum(sample * sample for sample in samples) / max(len(samples), 1))


def encoded(pcm: bytes, *, rate_hz: int = RATE_HZ) -> list[bytes]:
    """Encode PCM as a browser would: speech mode, with in-band copies."""
    encoder = OpusEncoder(sample_rate_hz=rate_hz, application=Application.SPEECH)
    encoder.expect_loss(20)
    size = encoder.frame_bytes
    return [encoder.encode(pcm[at : at + size]) for at in range(0, len(pcm), size)]


class Client:
    """A peer connection like the official client's, with RTP packets made by hand."""

    def __init__(self, *, has_video: bool = True, audio_direction: str = "sendrecv") -> None:
        self.peer_connection = RTCPeerConnection(
            RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )
        transceiver = self.peer_connection.addTransceiver("audio", direction=audio_direction)
        if has_video:
            self.peer_connection.addTransceiver("video", direction="sendrecv")
            self.peer_connection.addTransceiver("video", direction="sendonly")
        self.path = MediaPath(transceiver, self)
        self.channel = self.peer_connection.createDataChannel("chat")
        self.channel.on("message", self._message_came)
        self.channel.on("open", self._changed)
        self.peer_connection.on("connectionstatechange", self._changed)
        self.received: list[tuple[float, rtp.RtpPacket]] = []
        self.messages: list[dict[str, object]] = []
        self.losses: list[float] = []
        self.pc_id = ""
        self._change = anyio.Event()
        self._sequence = secrets.randbelow(1 << 16)
        self._origin = secrets.randbelow(1 << 32)

    # What the media path reports

    def rtp_received(self, packet: rtp.RtpPacket) -> None:
        self.received.append((asyncio.get_running_loop().time(), packet))
        self._changed()

    def loss_reported(self, percent: float) -> None:
        self.losses.append(percent)
        self._changed()

    def sender_reported(self, ntp_timestamp: int) -> None:
        pass

    def heard(self) -> None:
        pass

    def _message_came(self, message: str) -> None:
        self.messages.append(json.loads(message))
        self._changed()

    def _changed(self) -> None:
        change, self._change = self._change, anyio.Event()
        change.set()

    async def until(self, condition: Callable[[], object], *, timeout_s: float = 5.0) -> None:
        """Wait for something that an event brings about."""
        with anyio.fail_after(timeout_s):
            while not condition():
                await self._change.wait()

    # Negotiation

    async def offer(self) -> str:
        await self.peer_connection.setLocalDescription(await self.peer_connection.createOffer())
        sdp: str = self.peer_connection.localDescription.sdp
        return sdp

    async def accept(self, sdp: str) -> None:
        await self.peer_connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    async def call(
        self,
        connection: SmallWebRTCConnection,
        *,
        link: "LossyLink | None" = None,
        restart_pc: bool = False,
    ) -> None:
        """Offer, be answered, and wait for the data channel."""
        offer = await self.offer()
        if link is not None:
            offer = without_candidates(offer)
        answer = await connection.answer(offer, restart_pc=restart_pc)
        self.pc_id = answer.pc_id
        sdp = answer.sdp if link is None else await link.through(answer.sdp)
        await self.accept(sdp)
        await self.until(lambda: self.channel.readyState == "open", timeout_s=10)

    async def aclose(self) -> None:
        await self.peer_connection.close()

    # Media

    def send_packet(self, payload: bytes, *, number: int, ticks: int | None = None) -> None:
        """Send packet `number` of the stream; `ticks` is its place if not the usual one."""
        place = number * rtp.FRAME_TICKS if ticks is None else ticks
        self.path.send(
            rtp.build(
                payload,
                payload_type=OPUS_PAYLOAD_TYPE,
                sequence=self._sequence + number,
                timestamp=self._origin + place,
                ssrc=self.path.ssrc,
            )
        )

    async def talk(
        self, packets: list[bytes], *, sent_at: list[float] | None = None, first: int = 0
    ) -> None:
        """Send packets at their pace of 20 ms."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        for number, payload in enumerate(packets):
            await anyio.sleep(max(0.0, start + number * rtp.FRAME_S - loop.time()))
            if sent_at is not None:
                sent_at.append(loop.time())
            self.send_packet(payload, number=first + number)

    def heard_at(self, *, threshold: float) -> list[float]:
        """Decode all that came and return when each frame louder than the threshold came."""
        decoder = OpusDecoder(sample_rate_hz=RATE_HZ)
        return [
            at
            for at, packet in self.received
            if loudness(decoder.decode(packet.payload)) > threshold
        ]


def without_candidates(sdp: str) -> str:
    lines = [line for line in sdp.splitlines() if not line.startswith("a=candidate:")]
    return "\r\n".join(lines) + "\r\n"


class LossyLink:
    """A relay between client and server; drops or delays RTP packets of the client's."""

    def __init__(self) -> None:
        self.fate: Callable[[int], float | None] = lambda number: 0.0
        self.is_cut = False
        self.forwarded = 0
        self.dropped = 0
        self._number = 0
        self._client_side: asyncio.DatagramTransport | None = None
        self._server_side: asyncio.DatagramTransport | None = None
        self._client_address: tuple[str, int] | None = None
        self._server_address: tuple[str, int] = ("", 0)

    async def through(self, sdp: str) -> str:
        """Put the link's own address into an answer, in place of the server's."""
        candidates = [line for line in sdp.splitlines() if line.startswith("a=candidate:")]
        fields = next(line for line in candidates if ":" not in line.split()[4]).split()
        host, port = fields[4], int(fields[5])
        self._server_address = (host, port)
        loop = asyncio.get_running_loop()
        self._client_side, _ = await loop.create_datagram_endpoint(
            lambda: _Side(self._from_client), local_addr=(host, 0)
        )
        self._server_side, _ = await loop.create_datagram_endpoint(
            lambda: _Side(self._from_server), local_addr=(host, 0)
        )
        fields[5] = str(self._client_side.get_extra_info("sockname")[1])
        mine = " ".join(fields)
        lines = without_candidates(sdp).splitlines()
        with_mine = [[line, mine] if line.startswith("a=mid:") else [line] for line in lines]
        return "\r\n".join(line for group in with_mine for line in group) + "\r\n"

    def _from_client(self, data: bytes, address: tuple[str, int]) -> None:
        self._client_address = address
        if not 127 < data[0] < 192 or rtp.is_rtcp(data):
            self._to_server(data)
            return
        fate = self.fate(self._number)
        self._number += 1
        if fate is None:
            self.dropped += 1
        elif fate <= 0:
            self._to_server(data)
        else:
            asyncio.get_running_loop().call_later(fate, self._to_server, data)

    def _to_server(self, data: bytes) -> None:
        if not self.is_cut and self._server_side is not None:
            self.forwarded += 1
            self._server_side.sendto(data, self._server_address)

    def _from_server(self, data: bytes, address: tuple[str, int]) -> None:
        if not self.is_cut and self._client_side is not None and self._client_address:
            self._client_side.sendto(data, self._client_address)

    def close(self) -> None:
        self.is_cut = True
        for side in (self._client_side, self._server_side):
            if side is not None:
                side.close()


class _Side(asyncio.DatagramProtocol):
    def __init__(self, take: Callable[[bytes, tuple[str, int]], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._take(data, addr)


@asynccontextmanager
async def running(connection: SmallWebRTCConnection) -> AsyncIterator[SmallWebRTCConnection]:
    """Run a connection for the length of a block."""
    async with anyio.create_task_group() as group:
        group.start_soon(connection.run)
        try:
            yield connection
        finally:
            with anyio.CancelScope(shield=True):
                await connection.aclose()
            group.cancel_scope.cancel()


async def echo(connection: SmallWebRTCConnection) -> None:
    """Be a bot that says what it hears."""
    connection.open_audio_in(sample_rate_hz=RATE_HZ)
    connection.open_audio_out(sample_rate_hz=RATE_HZ)
    await connection.connect()
    try:
        while True:
            await connection.send_audio((await connection.receive_audio()).pcm)
    except anyio.EndOfStream:
        pass
