"""A process that answers one offer and echoes: `python echo_process.py ours|stock SECONDS`.

Reads the offer's SDP as one line of JSON, writes the answer's, and after a goodbye on stdin the CPU
seconds that it used from the moment it was connected.
"""

import asyncio
import json
import resource
import sys

import anyio
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from offhook.transports.webrtc.connection import SmallWebRTCConnection
from offhook.transports.webrtc.settings import WebRTCSettings
from offhook.transports.webrtc.udp import new_event_loop


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def say(**fields: object) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


async def hear() -> str:
    return await asyncio.to_thread(sys.stdin.readline)


async def ours(offer: str) -> None:
    connection = SmallWebRTCConnection(settings=WebRTCSettings())
    async with anyio.create_task_group() as group:
        group.start_soon(connection.run)
        answer = await connection.answer(offer)
        say(sdp=answer.sdp)
        connection.open_audio_in(sample_rate_hz=16_000)
        connection.open_audio_out(sample_rate_hz=16_000)
        await connection.connect()
        group.start_soon(echo, connection)
        await measure()
        await connection.aclose()


async def echo(connection: SmallWebRTCConnection) -> None:
    try:
        while True:
            chunk = await connection.receive_audio()
            await connection.send_audio(chunk.pcm)
    except anyio.EndOfStream:
        pass


async def stock(offer: str) -> None:
    peer_connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))

    @peer_connection.on("track")
    def track_came(track) -> None:
        if track.kind == "audio":
            peer_connection.addTrack(track)

    await peer_connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
    await peer_connection.setLocalDescription(await peer_connection.createAnswer())
    say(sdp=peer_connection.localDescription.sdp)
    await measure()
    await peer_connection.close()


async def measure() -> None:
    await hear()
    before = cpu_s()
    await hear()
    say(cpu_s=cpu_s() - before)
    await hear()


async def main() -> None:
    offer = json.loads(await hear())["sdp"]
    await (ours(offer) if sys.argv[1] == "ours" else stock(offer))


with asyncio.Runner(loop_factory=new_event_loop) as runner:
    runner.run(main())
