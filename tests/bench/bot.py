"""The bots that are measured; `body["role"]` says which one to be.

Run by a real server in its worker, so it imports nothing of the tests.
"""

import os
import signal
import socket
import time
from typing import Any

import anyio

RATE_HZ = 16_000
FRAME_BYTES = RATE_HZ // 50 * 2
"""20 ms."""
GREETING_FRAMES = 25
NOISE_SEED = 12345


async def bot(runner_args: Any) -> None:
    """Note the time before anything else, tell it to who measures, then take the role."""
    first_line_ns = time.monotonic_ns()
    connection, body = runner_args.webrtc_connection, runner_args.body
    # The session's timeline dates this message, in its own count of seconds. So whoever measures
    # can tell on one clock when the worker was assigned and when the bot ran.
    connection.send_app_message({"label": "rtvi-ai", "type": "bot-ready", "id": "0", "data": {}})
    dated_ns = time.monotonic_ns()
    report = f"{first_line_ns} {dated_ns} {os.getpid()} {runner_args.session_id} {body['tag']}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to_bench:
        to_bench.sendto(report.encode(), body["report"])
    await ROLES[body["role"]](connection, body)


async def wait(connection: Any, body: dict[str, Any]) -> None:
    """Do nothing until the session is ended."""
    await anyio.sleep_forever()


async def greet(connection: Any, body: dict[str, Any]) -> None:
    """Speak at once; what is said is ready, as with a greeting that was synthesised before."""
    connection.open_audio_out(sample_rate_hz=RATE_HZ)
    await connection.connect()
    for frame in GREETING:
        await connection.send_audio(frame)
    await anyio.sleep_forever()


async def echo(connection: Any, body: dict[str, Any]) -> None:
    """Say back what is heard; after `body["fail_after"]` pieces do what `body["failure"]` says."""
    connection.open_audio_in(sample_rate_hz=RATE_HZ)
    connection.open_audio_out(sample_rate_hz=RATE_HZ)
    await connection.connect()
    heard = 0
    while True:
        try:
            chunk = await connection.receive_audio()
        except anyio.EndOfStream:
            return
        await connection.send_audio(chunk.pcm)
        heard += 1
        if heard == body.get("fail_after"):
            FAILURES[body["failure"]]()


ROLES = {"wait": wait, "greet": greet, "echo": echo}
FAILURES = {
    "block": lambda: time.sleep(3.0),
    "crash": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "spin": lambda: _spin(3.0),
}


def _spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def noise(number: int) -> bytes:
    """Return 20 ms that no encoder takes for silence; the same each time, without a library."""
    state, samples = NOISE_SEED + number, bytearray()
    for _ in range(FRAME_BYTES // 2):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        samples += ((state >> 16) % 16384 - 8192).to_bytes(2, "little", signed=True)
    return bytes(samples)


GREETING = [noise(number) for number in range(GREETING_FRAMES)]
