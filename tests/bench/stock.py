"""What our numbers are compared with: an echo on the library as it is, a process for each peer.

The path that bots on it take: decode, resample to 16 kHz mono, give the frame to a track, which
the library resamples and encodes again. Offer on standard input, answer on standard output.
"""

import asyncio
import json
import sys
from fractions import Fraction

from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from av import AudioFrame, AudioResampler
from av.frame import Frame

RATE_HZ = 16_000


class Echo(MediaStreamTrack):
    """Gives back what another track got."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._frames: asyncio.Queue[AudioFrame] = asyncio.Queue()

    async def hear(self, track: MediaStreamTrack) -> None:
        """Convert as a bot's transport does, and queue."""
        resampler = AudioResampler("s16", "mono", RATE_HZ)
        while True:
            heard = await track.recv()
            assert isinstance(heard, AudioFrame)
            for frame in resampler.resample(heard):
                pcm = frame.to_ndarray().astype("<i2").tobytes()  # what a bot gets, and gives
                self._frames.put_nowait(_frame(pcm, frame.pts))

    async def recv(self) -> Frame:
        """Wait for the next frame."""
        return await self._frames.get()


def _frame(pcm: bytes, pts: int | None) -> AudioFrame:
    frame = AudioFrame(format="s16", layout="mono", samples=len(pcm) // 2)
    frame.planes[0].update(pcm)
    frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, pts, Fraction(1, RATE_HZ)
    return frame


async def main() -> None:
    """Answer one offer and echo until standard input ends."""
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader(limit=2**20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    connection, echo = RTCPeerConnection(RTCConfiguration(iceServers=[])), Echo()
    hearing: list[asyncio.Task[None]] = []

    @connection.on("track")
    def came(track: MediaStreamTrack) -> None:
        hearing.append(loop.create_task(echo.hear(track)))

    offer = json.loads(await reader.readline())
    await connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
    connection.addTrack(echo)
    await connection.setLocalDescription()
    print(json.dumps(connection.localDescription.sdp), flush=True)  # noqa: T201 -- its answer
    await reader.read()
    for task in hearing:
        task.cancel()
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main())
