"""The client of the load, in a process of its own: many peers that send and count.

Takes one order a line from standard input and answers each with one line. Packets go straight to
and come straight from the encrypted socket, and none is decoded while it counts, so one process
carries dozens of peers.
"""

import asyncio
import itertools
import json
import sys
import time
from typing import Any

import anyio
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from tests.bench import voice

from offhook.transports.webrtc import rtp
from offhook.transports.webrtc.aiortc_internals import MediaPath

FRAME_S = 0.02
CONNECT_TIMEOUT_S = 20.0
CLOSE_TIMEOUT_S = 1.0


class Peer:
    """One client: sends the voice on a grid of 20 ms, notes when what comes back came."""

    def __init__(self, packets: list[bytes]) -> None:
        self._packets = packets
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        transceiver = self._connection.addTransceiver("audio")
        self._connection.createDataChannel("bench")
        self._path = MediaPath(transceiver, self)
        self._connection.on("connectionstatechange", self._changed)
        self._connected = asyncio.Event()
        self._payload_type = 111
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._sent = 0
        self._turns_sent: list[float] = []
        self._arrived: list[tuple[float, bytes]] = []
        self._was_quiet = True

    async def offer(self) -> str:
        """Make an offer with all its candidates."""
        await self._connection.setLocalDescription()
        text: str = self._connection.localDescription.sdp
        return text

    async def accept(self, sdp: str) -> None:
        """Take the answer, and wait for the connection."""
        for line in sdp.splitlines():
            if line.startswith("a=rtpmap:") and line.lower().endswith(" opus/48000/2"):
                self._payload_type = int(line.removeprefix("a=rtpmap:").split()[0])
        await self._connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await self._connected.wait()

    def talk(self, *, after_s: float) -> None:
        """Begin to send."""
        self._due = asyncio.get_running_loop().time() + after_s
        self._timer = asyncio.get_running_loop().call_at(self._due, self._send)

    def forget(self) -> None:
        """Count from now on, in the middle of a turn or not."""
        self._arrived = []
        self._was_quiet = False

    def counted(self) -> dict[str, Any]:
        """Return what was counted, times in ms; the decoding is done here, when it is over."""
        listener = voice.Listener(was_quiet=self._was_quiet)
        times = [at for at, _ in self._arrived]
        begun = [at for at, payload in self._arrived if listener.is_beginning(payload)]
        return {
            "gaps_ms": [(b - a) * 1e3 for a, b in itertools.pairwise(times)],
            "latencies_ms": [
                (at - max(sent)) * 1e3
                for at in begun
                if (sent := [turn for turn in self._turns_sent if turn < at])
            ],
            "packets": len(times),
            "first_sound_s": begun[0] if begun else None,
        }

    async def aclose(self) -> None:
        """Leave."""
        if self._timer is not None:
            self._timer.cancel()
        await self._connection.close()

    def _changed(self) -> None:
        if self._connection.connectionState == "connected":
            self._connected.set()

    def _send(self) -> None:
        loop = asyncio.get_running_loop()
        number = self._sent % len(self._packets)
        payload = self._packets[number]
        packet = rtp.build(
            payload,
            payload_type=self._payload_type,
            sequence=self._sent,
            timestamp=self._sent * rtp.FRAME_TICKS,
            ssrc=self._path.ssrc,
        )
        if number == 0:
            self._turns_sent.append(time.perf_counter())
        self._path.send(packet)
        self._sent += 1
        self._due += FRAME_S
        self._timer = loop.call_at(self._due, self._send)

    # What the path reports

    def rtp_received(self, packet: rtp.RtpPacket) -> None:
        """Note a packet."""
        self._arrived.append((time.perf_counter(), packet.payload))

    def loss_reported(self, percent: float) -> None:
        """Of no interest."""

    def sender_reported(self, ntp_timestamp: int) -> None:
        """Of no interest."""

    def heard(self) -> None:
        """Of no interest."""


class Load:
    """Does what is ordered, for peers by number."""

    def __init__(self) -> None:
        self._packets = voice.packets()
        self._peers: dict[int, Peer] = {}

    async def obey(self, order: dict[str, Any]) -> Any:
        """Carry out one order; return what it asks for."""
        match order:
            case {"do": "offer", "peer": number}:
                peer = self._peers[number] = Peer(self._packets)
                return await peer.offer()
            case {"do": "accept", "peer": number, "sdp": sdp}:
                await self._peers[number].accept(sdp)
            case {"do": "talk", "peers": numbers}:
                for place, number in enumerate(numbers):
                    self._peers[number].talk(after_s=place * FRAME_S / len(numbers))
            case {"do": "count", "seconds": seconds}:
                for peer in self._peers.values():
                    peer.forget()
                await asyncio.sleep(seconds)
                return {number: peer.counted() for number, peer in self._peers.items()}
            case {"do": "counted", "peer": number}:
                return self._peers[number].counted()
            case {"do": "close"}:
                with anyio.move_on_after(CLOSE_TIMEOUT_S):
                    async with anyio.create_task_group() as group:
                        for peer in self._peers.values():
                            group.start_soon(peer.aclose)
                self._peers.clear()
            case _:
                raise ValueError(f"no such order: {order}")
        return None


async def main() -> None:
    """Obey until standard input ends."""
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader(limit=2**20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    load = Load()
    while line := await reader.readline():
        result = await load.obey(json.loads(line))
        print(json.dumps(result), flush=True)  # noqa: T201 -- its answer


if __name__ == "__main__":
    asyncio.run(main())
