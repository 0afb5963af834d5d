"""What is measured: a real server with the bench's bot, and who listens to what the bot reports."""

import contextlib
import json
import os
import select
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.bench.asking import BadResponseError, Client, Exchange
from tests.bench.process import Family, StillBusyError, wait_for

from offhook.testing.server import OffhookProcess, running

BOT = Path(__file__).with_name("bot.py")
REPORT_TIMEOUT_S = 20.0
CONNECTED_S = 0.1


@dataclass(frozen=True)
class Report:
    """What a bot said about itself at its start; times on the machine's monotonic clock."""

    first_line_ns: int
    dated_ns: int
    pid: int
    session_id: str
    tag: int


@dataclass(frozen=True)
class Start:
    """One start, on one clock, in ms."""

    request_to_first_line: float
    assigned_to_first_line: float
    lease_to_answer: float
    round_trip: float
    pid: int


class Subject:
    """A server under measurement."""

    def __init__(self, server: OffhookProcess, reports: socket.socket, path: str) -> None:
        self.server, self.client = server, Client(server.url)
        self.family = Family(server)
        self._reports, self._path = reports, path

    @classmethod
    @contextlib.contextmanager
    def running(cls, *arguments: str) -> Iterator[Self]:
        """Run `offhook run` with these flags inside the block."""
        with (
            tempfile.TemporaryDirectory() as folder,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reports,
        ):
            path = f"{folder}/reports"
            reports.bind(path)
            with running(BOT, *arguments) as server:
                subject = cls(server, reports, path)
                try:
                    yield subject
                finally:
                    subject.client.close()

    def offer(self, sdp: str, role: str, *, tag: int = 0, **more: Any) -> bytes:
        """Write the request that starts a bot with this role; its report will have the tag."""
        body = {"report": self._path, "role": role, "tag": tag, **more}
        content = {"sdp": sdp, "type": "offer", "request_data": body}
        return self.client.prepare("POST", "/api/offer", content)

    def report(self) -> Report:
        """Wait for a bot's report."""
        if not select.select([self._reports], [], [], REPORT_TIMEOUT_S)[0]:
            raise StillBusyError(f"no bot reported; the server says:\n{self.server.output()}")
        first, dated, pid, session_id, tag = self._reports.recv(4096).decode().split()
        return Report(int(first), int(dated), int(pid), session_id, int(tag))

    def timeline(self, session_id: str) -> dict[str, float]:
        """Return when each step was reached, in seconds since the session was accepted."""
        described = self.client.get(f"/sessions/{session_id}")
        return {step["step"]: step["at_s"] for step in described["timeline"]}

    def start(self, request: bytes) -> Start:
        """Start a bot and wait for the answer; say what took how long."""
        exchange = self.client.ask(request)
        exchange.json()
        return self.describe(exchange, self.report())

    def describe(self, exchange: Exchange, report: Report) -> Start:
        """Put what the client, the bot and the timeline saw on one clock."""
        steps = self.timeline(report.session_id)
        # The bot's first message dates the session's own count: see bot.py.
        accepted_ns = report.dated_ns - steps["bot_ready"] * 1e9
        first_line_s = (report.first_line_ns - accepted_ns) / 1e9
        return Start(
            request_to_first_line=(report.first_line_ns - exchange.sent_ns) / 1e6,
            assigned_to_first_line=(first_line_s - steps["worker_leased"]) * 1e3,
            lease_to_answer=(steps["answer_sent"] - steps["worker_leased"]) * 1e3,
            round_trip=(exchange.answered_ns - exchange.sent_ns) / 1e6,
            pid=report.pid,
        )

    def burst(self, sdp: str, role: str, count: int) -> list[tuple[Exchange, Report]]:
        """Start so many at once; wait for all answers and reports."""
        clients = [Client(self.server.url) for _ in range(count)]
        requests = [self.offer(sdp, role, tag=tag) for tag in range(count)]
        try:
            sockets = [client.connect() for client in clients]
            time.sleep(
                CONNECTED_S
            )  # let the server accept them: a start is measured, not a connect
            sent = [Exchange(*each) for each in zip(sockets, requests, strict=True)]
            exchanges = dict(zip(sockets, sent, strict=True))
            waiting, reports = set(sockets), list[Report]()
            while waiting or len(reports) < count:
                # Reports are taken as they come: after some ten the kernel lets a bot wait.
                ready = select.select([*waiting, self._reports], [], [], REPORT_TIMEOUT_S)[0]
                if not ready:
                    raise StillBusyError(f"{len(waiting)} of {count} starts got no answer")
                if self._reports in ready:
                    reports.append(self.report())
                waiting -= {
                    sock for sock in waiting.intersection(ready) if exchanges[sock].receive()
                }
            refused = [each for each in sent if each.status != 200]
            if refused:
                raise BadResponseError(f"{len(refused)} of {count} refused: {refused[0].body!r}")
            return [(sent[report.tag], report) for report in reports]
        finally:
            for client in clients:
                client.close()

    def end(self, pid: int) -> None:
        """End the worker of a session whose caller never came.

        By force: asked politely, it would wait some seconds for the caller, to say goodbye.
        """
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def end_all(self) -> None:
        """End all sessions at once, and wait until they are over."""
        for session in self.client.get("/sessions")["sessions"]:
            if session["pid"]:
                self.end(session["pid"])
        wait_for(lambda: not self.client.get("/sessions")["sessions"], "the sessions' end")


def answer_of(exchange: Exchange) -> str:
    """Return the SDP of an answer."""
    sdp: str = json.loads(exchange.body)["sdp"]
    return sdp
