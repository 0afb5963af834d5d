"""What a talking session costs, against the library's own echo measured at the same time."""

import json
import random
import sys
from array import array
from asyncio import subprocess
from pathlib import Path

import anyio
import pytest

from .peers import RATE_HZ, Client, encoded, tone

SECONDS = 4
PROGRAM = Path(__file__).with_name("echo_process.py")


def speech_like() -> list[bytes]:
    """Encode syllables: noise with tones between."""
    rng = random.Random(1)
    noise = array("h", (int(rng.gauss(0, 3_000)) for _ in range(RATE_HZ // 5))).tobytes()
    return encoded((noise + tone(frames=10)) * (SECONDS * 50 // 20))


class Echo:
    """A process that echoes, and its client."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.client = Client(has_video=False)

    async def start(self) -> None:
        self.process = await subprocess.create_subprocess_exec(
            sys.executable, PROGRAM, self.kind, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.tell(sdp=await self.client.offer())
        await self.client.accept((await self.hear())["sdp"])
        await self.client.until(lambda: self.client.channel.readyState == "open", timeout_s=15)

    def tell(self, **fields: object) -> None:
        self.process.stdin.write(json.dumps(fields).encode() + b"\n")

    async def hear(self) -> dict:
        return json.loads(await self.process.stdout.readline())

    async def cpu_s(self) -> float:
        self.tell()
        return (await self.hear())["cpu_s"]

    async def aclose(self) -> None:
        self.tell()
        await self.client.aclose()
        self.process.stdin.close()
        await self.process.wait()


@pytest.mark.process
@pytest.mark.timeout(60)
async def test_a_talking_session_costs_at_most_half_of_the_library_s_own_echo():
    packets = speech_like()
    echoes = [Echo("ours"), Echo("stock")]
    async with anyio.create_task_group() as group:
        for echo in echoes:
            group.start_soon(echo.start)
    for echo in echoes:
        echo.tell()
    async with anyio.create_task_group() as group:
        for echo in echoes:
            group.start_soon(echo.client.talk, packets)
    ours, stock = [await echo.cpu_s() for echo in echoes]
    heard = [len(echo.client.received) for echo in echoes]
    for echo in echoes:
        await echo.aclose()
    assert min(heard) > 0.9 * len(packets)
    assert ours <= stock / 2
