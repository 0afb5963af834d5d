"""A bot on the bare connection, that does what `body["do"]` says once the caller is connected."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time

import anyio


async def bot(runner_args):
    connection = runner_args.webrtc_connection
    order = (runner_args.body or {}).get("do", "echo")
    if order.startswith("at once: "):
        obey(order.removeprefix("at once: "))
    connection.open_audio_in(sample_rate_hz=16_000)
    connection.open_audio_out(sample_rate_hz=16_000)
    connected = anyio.Event()

    @connection.event_handler("connected")
    async def on_connected(connection):
        connected.set()

    await connection.connect()
    await connected.wait()
    if order == "finish":
        return
    async with anyio.create_task_group() as group:
        group.start_soon(echo, connection)
        if order == "start-a-child":
            await anyio.open_process(["sleep", "600"])
        connection.send_app_message({"label": "rtvi-ai", "type": "server-message", "data": "here"})
        await anyio.sleep(0.1)  # for the message to leave
        obey(order)


async def echo(connection):
    with contextlib.suppress(anyio.EndOfStream):
        while True:
            chunk = await connection.receive_audio()
            await connection.send_audio(chunk.pcm)


def obey(order):
    match order.split():
        case ["raise"]:
            raise ValueError("the bot's secret words")
        case ["leave", code]:
            os._exit(int(code))
        case ["exit", code]:
            raise SystemExit(int(code))
        case ["segfault"]:
            ctypes.string_at(0)
        case ["kill"]:
            os.kill(os.getpid(), signal.SIGKILL)
        case ["list-tasks"]:
            names = sorted(task.get_coro().__qualname__ for task in asyncio.all_tasks())
            sys.stderr.write(f"tasks: {' '.join(names)}\n")
        case ["block", seconds]:
            time.sleep(float(seconds))
        case ["hang"]:
            sys.stdout.write("hanging\n")
            while True:
                time.sleep(1)
