"""The server process: between a supervisor and a template that the test plays."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
import httpx
import pytest

from offhook.channel import Channel, socket_pair
from offhook.protocol.control import (
    BootServer,
    ChildExited,
    ForkWorker,
    Heartbeat,
    ServerReady,
    SessionEnded,
    StartBot,
    StopServer,
    TemplateExited,
    TemplateReady,
    TemplateStarted,
    WorkerForked,
    WorkerReady,
)
from offhook.server import main
from offhook.server.config import Config
from offhook.server.main import serve_supervised, url_of
from offhook.supervisor.sockets import listen

NO_PID = 1 << 23
PATIENCE_S = 10.0
SDP = Path(__file__).parents[1] / "wire" / "sdp" / "valid" / "chromium-audio.sdp"
OFFER = {"sdp": SDP.read_text(), "type": "offer"}


class Supervisor:
    """The supervisor's end, and the template's."""

    def __init__(self, sock: socket.socket, port: int) -> None:
        self.sock, self.channel, self.port = sock, Channel(sock), port
        self.url = ""
        self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S)

    async def start_template(self, generation: int = 1) -> Channel:
        """Start a template that is ready at once."""
        for_server, for_template = socket_pair()
        self.channel.send(TemplateStarted(generation=generation), [for_server.fileno()])
        for_server.close()
        template = Channel(for_template)
        template.send(
            TemplateReady(
                generation=generation,
                pid=1,
                python="",
                threads=1,
                rss_bytes=0,
                preload_ms=0.0,
                bot="bot.py",
            )
        )
        return template

    async def until_health(self, status: int) -> None:
        with anyio.fail_after(PATIENCE_S):
            while (await self.client.get("/health/ready")).status_code != status:
                pass

    async def ready(self) -> str:
        with anyio.fail_after(PATIENCE_S):
            message = (await self.channel.receive()).message
        assert isinstance(message, ServerReady)
        return message.url


async def fork(template: Channel, *, pid: int = NO_PID) -> Channel:
    """Be a template that forks, and the worker that is ready; return the worker's channel."""
    with anyio.fail_after(PATIENCE_S):
        order, (channel_fd, output_fd) = await template.receive()
    assert isinstance(order, ForkWorker)
    os.close(output_fd)
    template.send(WorkerForked(worker_id=order.worker_id, pid=pid))
    worker = Channel(socket.socket(fileno=channel_fd))
    worker.send(WorkerReady(pid=pid, rehearsed_ms=1.0))
    return worker


@asynccontextmanager
async def serving(**settings: object) -> AsyncIterator[Supervisor]:
    """A server that has to end by itself at the end of the block."""
    config = Config(port=0, **settings)  # type: ignore[arg-type]
    ours, theirs = socket_pair()
    sockets = listen("127.0.0.1", 0)
    with ours:
        supervisor = Supervisor(ours, sockets[0].getsockname()[1])
        with anyio.fail_after(2 * PATIENCE_S):
            async with anyio.create_task_group() as group, supervisor.client:
                group.start_soon(serve_supervised, config, sockets, theirs)
                yield supervisor
    theirs.close()


async def test_the_door_is_open_when_a_bot_can_be_started() -> None:
    async with serving(warm=0) as supervisor:
        with await supervisor.start_template():
            url = await supervisor.ready()
            assert url == f"http://localhost:{supervisor.port}"
            response = await supervisor.client.get("/health/ready")
            assert response.status_code == 200
            assert "server" not in response.headers
            supervisor.channel.send(StopServer(grace_s=0.1))


async def test_a_connection_that_asks_for_nothing_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(main, "KEEP_ALIVE_S", 0.2)
    async with serving(warm=0) as supervisor:
        with await supervisor.start_template():
            await supervisor.ready()
            silent = await anyio.connect_tcp("127.0.0.1", supervisor.port)
            with anyio.fail_after(PATIENCE_S), pytest.raises(anyio.EndOfStream):
                await silent.receive()
            await silent.aclose()
            assert (await supervisor.client.get("/health/live")).status_code == 200
            supervisor.channel.send(StopServer(grace_s=0.1))


async def test_it_is_ready_with_the_first_warm_worker() -> None:
    async with serving(warm=1) as supervisor:
        with await supervisor.start_template() as template:
            await supervisor.client.get("/health/live")
            assert supervisor.channel.drain() == []
            with await fork(template):
                await supervisor.ready()
                supervisor.channel.send(StopServer(grace_s=0.1))
                supervisor.channel.send(ChildExited(pid=NO_PID, status=9))


async def test_a_session_ends_as_its_process_ended_and_the_supervisor_reports() -> None:
    async with serving(warm=1) as supervisor:
        template = await supervisor.start_template()
        worker = await fork(template)
        await supervisor.ready()

        async def crash_at_once() -> None:
            assert isinstance((await worker.receive()).message, StartBot)
            worker.close()
            supervisor.channel.send(ChildExited(pid=NO_PID, status=signal.SIGSEGV))

        async with anyio.create_task_group() as group:
            group.start_soon(crash_at_once)
            response = await supervisor.client.post("/api/offer", json=OFFER)
        assert response.status_code == 502
        assert "SIGSEGV" in response.json()["detail"]
        template.close()
        supervisor.channel.send(TemplateExited(generation=1, status=0))
        supervisor.channel.send(StopServer(grace_s=0.1))


async def test_without_a_template_it_is_not_ready_until_there_is_another() -> None:
    async with serving(warm=0) as supervisor:
        template = await supervisor.start_template()
        await supervisor.ready()
        template.close()
        supervisor.channel.send(TemplateExited(generation=1, status=0))
        await supervisor.until_health(503)
        template = await supervisor.start_template(2)
        await supervisor.until_health(200)
        supervisor.channel.send(StopServer(grace_s=0.1))
        template.close()


async def test_what_it_does_not_know_or_expect_is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(warm=0) as supervisor:
        supervisor.sock.send(b"\x81\xa1t\xabfrom_future")
        supervisor.channel.send(Heartbeat(lag_ms=0))
        supervisor.channel.send(SessionEnded(reason="from_the_future"))
        with await supervisor.start_template():
            await supervisor.ready()
            supervisor.channel.send(StopServer(grace_s=0.1))
    assert caplog.text.count("message out of place ignored") == 2
    assert caplog.text.count("unknown message ignored") == 1


async def test_when_the_supervisor_has_gone_it_ends() -> None:
    async with serving(warm=0) as supervisor:
        with await supervisor.start_template():
            await supervisor.ready()
            supervisor.channel.close()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("localhost", "http://localhost"),
        ("127.0.0.1", "http://127.0.0.1"),
        ("0.0.0.0", "http://localhost"),  # noqa: S104 -- only a text
        ("::", "http://localhost"),
        ("::1", "http://[::1]"),
        ("[::1]", "http://[::1]"),
        ("192.0.2.7", "http://192.0.2.7"),
    ],
)
def test_the_address_is_one_that_a_browser_here_can_open(host: str, url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        assert url_of(Config(host=host, insecure=True), sock) == f"{url}:{port}"


@asynccontextmanager
async def own_process(sock: socket.socket) -> AsyncIterator[anyio.abc.Process]:
    command = [sys.executable, "-m", "offhook.server", str(sock.fileno()), str(os.getpid())]
    process = await anyio.open_process(
        command, pass_fds=(sock.fileno(),), stdin=subprocess.DEVNULL, stdout=None, stderr=None
    )
    async with process:
        yield process


@pytest.mark.process
@pytest.mark.timeout(60)
async def test_a_process_of_its_own_takes_sockets_and_configuration_from_the_first_record() -> None:
    ours, theirs = socket_pair()
    (listening,) = listen("127.0.0.1", 0)
    with ours, theirs, listening:
        supervisor = Supervisor(ours, listening.getsockname()[1])
        boot = BootServer(config=Config(port=0, warm=0).encode())
        supervisor.channel.send(boot, [listening.fileno()])
        async with own_process(theirs) as process, supervisor.client:
            template = await supervisor.start_template()
            await supervisor.ready()
            process.send_signal(signal.SIGINT)  # Ctrl-C is for the supervisor
            assert (await supervisor.client.get("/status")).status_code == 200
            supervisor.channel.send(StopServer(grace_s=0.1))
            with anyio.fail_after(PATIENCE_S):
                assert await process.wait() == 0
        template.close()
