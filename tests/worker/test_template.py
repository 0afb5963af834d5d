"""A real template: what it imports, what it refuses, and what its workers do not inherit."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.worker.family import Template

from offhook.channel import receive_record, send_record
from offhook.protocol.control import Answered, ForkFailed, Heartbeat, Offer, SessionEnded

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]

PROBE = Path(__file__).parent / "bots" / "probe.py"
OFFER = Path(__file__).parents[1] / "wire" / "sdp" / "valid" / "aiortc.sdp"
BOT = "async def bot(runner_args): ...\n"


@pytest.fixture(scope="module")
def template() -> Iterator[Template]:
    with Template(PROBE) as template:
        template.ready()
        yield template


def write(folder: Path, text: str) -> Path:
    path = folder / "bot.py"
    path.write_text(text)
    return path


def threads_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def files_of(pid: int) -> set[str]:
    """What a process has open, but for event polls and the null device, which are all alike."""
    links = {str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()}
    return {each for each in links if each != "/dev/null" and not each.startswith("anon_inode")}


# The template


def test_it_reports_what_it_has_imported_in_one_thread(template: Template) -> None:
    ready = template.report
    assert (ready.generation, ready.pid) == (7, template.process.pid)
    assert ready.threads == 1
    assert ready.bot == str(PROBE)
    assert ready.rss_bytes > 10_000_000
    assert ready.preload_ms > 0
    assert ready.python.startswith("3.")


def test_it_has_one_thread_and_no_more_files_after_many_forks(template: Template) -> None:
    with template.worker() as worker:
        assert worker.run().reason == "bot_finished"
        worker.reap()
    before = files_of(template.process.pid)
    for _ in range(5):
        with template.worker() as worker:
            worker.run()
            worker.reap()
    assert files_of(template.process.pid) == before
    assert threads_of(template.process.pid) == 1


def test_it_ends_when_the_server_has_closed_its_channel(tmp_path: Path) -> None:
    with Template(write(tmp_path, BOT)) as template:
        template.ready()
        template.sock.close()
        assert template.wait() == 0


def test_ctrl_c_is_for_the_supervisor_alone(template: Template) -> None:
    os.kill(template.process.pid, signal.SIGINT)
    with template.worker() as worker:
        worker.ready()
        os.kill(worker.pid, signal.SIGINT)
        worker.start(do="chat")
        assert isinstance(worker.receive(), SessionEnded)


def test_records_that_it_does_not_know_are_ignored(template: Template) -> None:
    template.sock.send(b"\x81\xa1t\xabfrom_future")
    send_record(template.sock, Heartbeat(lag_ms=0), [0])
    with template.worker() as worker:
        assert worker.run().reason == "bot_finished"


def test_a_fork_that_fails_is_reported_whichever_of_the_two_it_is(tmp_path: Path) -> None:
    # A file's mistake stands in for a machine that can carry no more processes.
    text = (
        "import os\nreal, calls = os.fork, []\n"
        "def fork():\n"
        "    calls.append(1)\n"
        "    if len(calls) in {1, 3}:\n        raise BlockingIOError(11, 'too many')\n"
        "    return real()\n"
        "os.fork = fork\n"
    )
    with Template(write(tmp_path, text + BOT)) as template:
        template.ready()
        for name in ("w1", "w2"):
            channel, output = template.order()
            failed = receive_record(template.sock).message
            assert isinstance(failed, ForkFailed)
            assert failed.worker_id == name
            assert "too many" in failed.problem
            assert channel.recv(1) == b""  # nobody has the other end any more
            assert os.read(output, 1) == b""
            channel.close()
            os.close(output)


# What it refuses, each with its reason on the terminal


@pytest.mark.parametrize(
    ("start_method", "text", "said"),
    [
        ("fork", "def broken():\n    1 / 0\nbroken()\n", "ZeroDivisionError"),
        ("fork", "raise SystemExit(0)", "SystemExit"),
        ("fork", "x = 1\n", "Write `async def bot(runner_args): ...` in it."),
        ("fork", BOT + "def prewarm(): raise KeyError('model')\n", "KeyError: 'model'"),
        ("spawn", "def broken():\n    1 / 0\nbroken()\n", "ZeroDivisionError"),
        ("spawn", "x = 1\n", "Write `async def bot(runner_args): ...` in it."),
    ],
    ids=["raises", "exits", "no-bot", "prewarm", "raises-spawned", "no-bot-spawned"],
)
def test_a_file_that_cannot_be_used_ends_it_with_the_reason(
    tmp_path: Path, start_method: str, text: str, said: str
) -> None:
    with Template(write(tmp_path, text), start_method=start_method) as template:
        assert template.wait() == 3
        assert said in template.output()
        assert "offhook/worker" not in template.output()


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        ("import noisy\n", "noisy"),
        ("def prewarm():\n    {thread}\n", "code called by"),
    ],
    ids=["library", "prewarm"],
)
def test_who_starts_a_thread_before_the_fork_is_named_and_nothing_is_forked(
    tmp_path: Path, text: str, culprit: str
) -> None:
    thread = "import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"  # noqa: E501
    (tmp_path / "noisy.py").write_text(thread)
    with Template(write(tmp_path, text.format(thread=thread) + BOT)) as template:
        assert template.wait() == 3
        assert f"error: {culprit}" in template.output()
        assert "started 1 thread" in template.output()
        assert "--start-method spawn" in template.output()


# What a worker is, and does not inherit


def test_a_worker_is_the_supervisors_child_and_leads_a_group_of_its_own(
    template: Template,
) -> None:
    with template.worker() as worker:
        facts = worker.facts()
        assert facts["pid"] == worker.pid
    assert facts["parent"] == os.getpid()
    assert facts["is_group_leader"]


def test_signals_are_as_a_fresh_process_has_them(template: Template) -> None:
    with template.worker() as worker:
        facts = worker.facts()
    assert facts["signals"] == {
        "SIGTERM": signal.SIG_DFL,
        "SIGCHLD": signal.SIG_DFL,
        "SIGHUP": signal.SIG_DFL,
        "SIGINT": signal.SIG_IGN,  # Ctrl-C is for the supervisor
    }
    assert facts["blocked"] == []


def test_two_workers_throw_different_dice(template: Template) -> None:
    with template.worker() as one, template.worker() as other:
        assert one.facts()["dice"] != other.facts()["dice"]


def test_what_was_imported_is_frozen_so_that_no_collection_copies_it(template: Template) -> None:
    with template.worker() as worker:
        assert worker.facts()["frozen"] > 100_000


def test_nothing_that_the_template_printed_is_printed_again(template: Template) -> None:
    with template.worker() as one, template.worker() as other:
        for worker in (one, other):
            worker.run(do="chat")
            assert worker.reap() == 0
    assert one.printed == b"to standard output\nto standard error\nwithout an end"
    assert other.printed == one.printed
    assert template.output().count("printed while it was imported") == 1


def test_a_worker_has_no_file_of_its_template_or_of_another_worker(template: Template) -> None:
    with template.worker() as one, template.worker() as other:
        one.ready()
        other.ready()
        ones, others = files_of(one.pid), files_of(other.pid)
        assert ones & others == set()
        assert ones & files_of(template.process.pid) == set()
        kinds = Counter(each.partition(":")[0] for each in ones)
        assert kinds["pipe"] == 1  # its output
        assert kinds["socket"] <= 3  # its channel, and a pair by which its event loop wakes itself
        assert kinds.total() == kinds["pipe"] + kinds["socket"]


def test_a_template_has_no_event_loop(template: Template) -> None:
    links = [str(each.readlink()) for each in Path(f"/proc/{template.process.pid}/fd").iterdir()]
    assert [each for each in links if "eventpoll" in each] == []


def test_two_workers_have_different_certificates(template: Template) -> None:
    fingerprints = set()
    for rehearse in (True, True):
        with template.worker(rehearse=rehearse) as worker:
            worker.ready()
            worker.start(do="wait")
            send_record(worker.channel, Offer(request=1, sdp=OFFER.read_text()))
            answered = worker.receive()
            assert isinstance(answered, Answered)
            lines = [x for x in answered.sdp.splitlines() if x.startswith("a=fingerprint:sha-256")]
            assert lines
            fingerprints.add(lines[0])
    assert len(fingerprints) == 2


def test_a_worker_leaves_no_core_file_and_goes_first_when_memory_is_short(
    template: Template,
) -> None:
    with template.worker() as worker:
        facts = worker.facts()
    assert facts["core_limit"] == [0, 0]
    assert facts["oom_score"] == 500


def test_a_worker_outlives_the_template_that_made_it() -> None:
    with Template(PROBE) as template:
        template.ready()
        with template.worker() as worker:
            worker.ready()
            os.kill(template.process.pid, signal.SIGSEGV)
            assert template.wait() == -signal.SIGSEGV
            worker.start(do="chat")
            assert worker.receive()
            assert worker.reap() == 0


# Spawned workers


def test_a_spawning_template_checks_the_file_and_its_workers_are_fresh_interpreters(
    tmp_path: Path,
) -> None:
    text = (
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
        "async def bot(runner_args):\n    print(threading.active_count(), flush=True)\n"
    )
    with Template(write(tmp_path, text), start_method="spawn") as template:
        assert template.ready().threads == 1
        with template.worker(rehearse=True) as worker:
            assert worker.run().reason == "bot_finished"
            assert worker.reap() == 0
            assert int(worker.printed) >= 2
        assert template.output() == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOT + "def prewarm(): raise KeyError('model')\n", "KeyError: 'model'"),
        ("if __import__('sys').argv[1:2] == ['check']:\n    " + BOT, "no function named 'bot'"),
    ],
    ids=["prewarm", "no-bot-later"],
)
def test_a_file_that_fails_only_in_a_spawned_worker_is_in_that_workers_output(
    tmp_path: Path, text: str, said: str
) -> None:
    with Template(write(tmp_path, text), start_method="spawn") as template:
        template.ready()
        with template.worker() as worker:
            assert worker.reap() == 3
            assert said in worker.printed.decode()
