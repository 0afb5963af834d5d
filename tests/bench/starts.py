"""How fast a bot picks up: warm, cold, spawned, in a burst; and its first sound."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.callers import Callers
from tests.bench.figures import Figure
from tests.bench.process import memory, wait_for
from tests.bench.subject import Start, Subject, answer_of

WARM_UP = 3
WARM_WORKERS = 2


@dataclass(frozen=True)
class Scale:
    """How often each thing is measured."""

    warm: int = 200
    cold: int = 30
    spawned: int = 5
    first_audio: int = 20
    bursts: int = 4
    large_burst: int = 50

    @classmethod
    def quick(cls) -> "Scale":
        """As often as it takes to see that it works."""
        return cls(warm=10, cold=3, spawned=1, first_audio=3, bursts=1, large_burst=50)


def measure_warm(subject: Subject, sdp: str, scale: Scale) -> Iterator[Figure]:
    """Start one bot after the other, each with a full pool and a server at rest."""
    starts = _starts(subject, sdp, count=scale.warm, idle=WARM_WORKERS)
    yield Figure(
        name="assigned → first line of bot(), warm",
        unit="ms",
        values=tuple(start.assigned_to_first_line for start in starts),
        bounds={"p50": 0.5, "p99": 2.0},
        note="from the timeline's worker_leased, just before the order to the worker is sent",
    )
    yield Figure(
        name="HTTP request → first line of bot(), warm",
        unit="ms",
        values=tuple(start.request_to_first_line for start in starts),
        bounds={"p50": 3.0, "p99": 10.0},
    )
    yield Figure(
        name="offer → answer, in the worker",
        unit="ms",
        values=tuple(start.lease_to_answer for start in starts),
        bounds={"p50": 12.0},
        note="from the lease until the server has the answer, so the bot's start is in it",
    )
    yield Figure(
        name="offer → answer, HTTP round trip",
        unit="ms",
        values=tuple(start.round_trip for start in starts),
    )


def measure_cold(sdp: str, scale: Scale) -> Iterator[Figure]:
    """Start bots with no worker kept warm: forked, then as fresh interpreters."""
    for name, count, arguments in (
        ("forked on demand (--warm 0)", scale.cold, ()),
        ("spawned (--start-method spawn --warm 0)", scale.spawned, ("--start-method", "spawn")),
    ):
        with Subject.running("--warm", "0", *arguments) as subject:
            warm_up = 1 if arguments else WARM_UP
            starts = _starts(subject, sdp, count=count, idle=0, warm_up=warm_up)
        yield Figure(
            name=f"HTTP request → first line, {name}",
            unit="ms",
            values=tuple(start.request_to_first_line for start in starts),
        )
        yield Figure(
            name=f"offer → answer, HTTP round trip, {name}",
            unit="ms",
            values=tuple(start.round_trip for start in starts),
        )


def measure_bursts(subject: Subject, sdp: str, scale: Scale) -> Iterator[Figure]:
    """Start many bots at the same moment."""
    medians, lasts, answers = [], [], []
    for _ in range(scale.bursts):
        subject.family.wait_until_warm(WARM_WORKERS)
        burst = subject.burst(sdp, "wait", 20)
        times = sorted((rep.first_line_ns - sent.sent_ns) / 1e6 for sent, rep in burst)
        medians.append(times[len(times) // 2])
        lasts.append(times[-1])
        answers.append(max((sent.answered_ns - sent.sent_ns) / 1e6 for sent, _ in burst))
        subject.end_all()
    name = "20 starts at once, 2 warm: HTTP request → first line"
    yield Figure(name=f"{name}, median", unit="ms", values=tuple(medians), bounds={"p50": 60.0})
    yield Figure(name=f"{name}, last", unit="ms", values=tuple(lasts), bounds={"p50": 150.0})
    yield Figure(name="20 starts at once, 2 warm: last answer", unit="ms", values=tuple(answers))
    subject.family.wait_until_warm(WARM_WORKERS)
    burst = subject.burst(sdp, "wait", scale.large_burst)
    times = [(sent.answered_ns - sent.sent_ns) / 1e6 for sent, _ in burst]
    subject.end_all()
    subject.family.wait_until_warm(WARM_WORKERS)
    yield Figure(
        name=f"{scale.large_burst} starts at once, all answered: HTTP round trip",
        unit="ms",
        values=tuple(times),
    )


def measure_first_audio(subject: Subject, scale: Scale) -> Iterator[Figure]:
    """Call a bot that speaks at once; stop the clock at its first sound, not its first packet."""
    heard, left = [], []
    with Callers.running() as callers:
        for round_number in range(WARM_UP + scale.first_audio):
            number, sdp = callers.offer()
            subject.family.wait_until_warm(WARM_WORKERS)
            exchange = subject.client.ask(subject.offer(sdp, "greet"))
            exchange.json()
            report = subject.report()
            callers.accept(number, answer_of(exchange))
            wait_for(lambda: callers.counted(number)["first_sound_s"], "a sound", look_s=0.1)  # noqa: B023 -- called here and now
            if round_number >= WARM_UP:
                heard_s = callers.counted(number)["first_sound_s"]
                heard.append(heard_s * 1e3 - exchange.sent_ns / 1e6)
                left.append(subject.timeline(report.session_id)["first_audio_out"] * 1e3)
            callers.hang_up()
            subject.end(report.pid)
    yield Figure(name="offer → first sound heard by the client", unit="ms", values=tuple(heard))
    yield Figure(
        name="accepted → first audio out (timeline)",
        unit="ms",
        values=tuple(left),
        note="the silence that announces the track is not counted",
    )


def measure_idle_memory(subject: Subject) -> Iterator[Figure]:
    """Look at what workers hold that have rehearsed and wait."""
    workers = subject.family.wait_until_warm(WARM_WORKERS)
    yield Figure(
        name="own memory (USS) of a warm worker",
        unit="MiB",
        values=tuple(memory(pid).uss for pid in workers),
        bounds={"max": 13.0},
    )
    for name, pid in (
        ("server, before any session", subject.family.server),
        ("template", subject.family.template),
        ("supervisor", subject.family.supervisor),
    ):
        found = memory(pid)
        yield Figure(
            name=f"own memory (USS) of the {name}",
            unit="MiB",
            values=(found.uss,),
            note=f"RSS {found.rss:.1f} MiB",
        )


def _starts(
    subject: Subject, sdp: str, *, count: int, idle: int, warm_up: int = WARM_UP
) -> list[Start]:
    request = subject.offer(sdp, "wait")
    starts = []
    for _ in range(warm_up + count):
        subject.family.wait_until_warm(idle)
        start = subject.start(request)
        starts.append(start)
        subject.end(start.pid)
    return starts[warm_up:]
