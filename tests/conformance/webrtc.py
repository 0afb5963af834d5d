"""A peer connection calls."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import anyio
from tests.conformance.line import CALLER_RATE_HZ, HEARD_RATE_HZ, Line
from tests.transports.webrtc.peers import Client, encoded, running

from offhook.kit import TransportParams
from offhook.transports.webrtc import (
    SmallWebRTCConnection,
    SmallWebRTCTransport,
    WebRTCSettings,
)
from offhook.transports.webrtc.opus import OpusDecoder


class WebRTCLine:
    def __init__(self, client: Client, connection: SmallWebRTCConnection) -> None:
        self.messages: list[Mapping[str, object]] = client.messages  # type: ignore[assignment]
        self._client, self._connection = client, connection
        self._decoder = OpusDecoder(sample_rate_hz=HEARD_RATE_HZ)
        self._decoded = 0
        self._said = 0
        self._heard = bytearray()

    def transport(self, params: TransportParams) -> SmallWebRTCTransport:
        return SmallWebRTCTransport(params=params, webrtc_connection=self._connection)

    async def talk(self, pcm: bytes) -> None:
        packets = encoded(pcm, rate_hz=CALLER_RATE_HZ)
        await self._client.talk(packets, first=self._said)
        self._said += len(packets)

    async def send(self, message: Mapping[str, object]) -> None:
        self._client.channel.send(json.dumps(message))

    def heard(self) -> bytes:
        for _, packet in self._client.received[self._decoded :]:
            self._heard += self._decoder.decode(packet.payload)
            self._decoded += 1
        return bytes(self._heard)

    async def until(self, condition: Callable[[], object]) -> None:
        await self._client.until(condition)

    async def hang_up(self) -> None:
        await self._client.aclose()

    async def host_knows(self) -> None:
        with anyio.fail_after(5):
            await self._connection.closed()

    async def host_closes(self) -> None:
        await self._connection.aclose()

    def is_over(self) -> bool:
        left = {"type": "signalling", "message": {"type": "peerLeft"}}
        return left in self.messages


@asynccontextmanager
async def webrtc() -> AsyncIterator[Line]:
    async with running(SmallWebRTCConnection(settings=WebRTCSettings())) as connection:
        client = Client()
        try:
            await client.call(connection)
            yield WebRTCLine(client, connection)
        finally:
            with anyio.CancelScope(shield=True):
                await client.aclose()
