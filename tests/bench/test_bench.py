"""The benchmark's arithmetic, and that what it runs can be run; not what it measures."""

import json
import os
import sys
import time
from pathlib import Path

import pytest
from tests.bench import bot, machine, process, voice
from tests.bench.figures import Figure, percentile, table

from offhook.worker.load import bot_of, load_bot


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([5.0], 0.5, 5.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([1.0, 2.0, 3.0, 4.0], 0.5, 2.0),
        ([float(n) for n in range(1, 101)], 0.99, 99.0),
        ([float(n) for n in range(1, 102)], 0.99, 100.0),
        ([float(n) for n in range(1, 201)], 0.99, 198.0),
        ([1.0, 2.0, 3.0], 1, 3.0),
    ],
)
def test_a_percentile_is_the_smallest_value_that_so_many_reach(values, share, expected):
    assert percentile(values, share) == expected


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 0.0), ([1.0], 1.1)])
def test_a_percentile_of_nothing_or_of_no_share_is_refused(values, share):
    with pytest.raises(ValueError, match="no "):
        percentile(values, share)


def test_a_bound_is_met_when_the_statistic_it_names_does_not_exceed_it():
    figure = Figure(name="a", unit="ms", values=(1.0, 1.0, 9.0), bounds={"p50": 1.0})
    assert figure.is_met
    assert Figure(name="a", unit="ms", values=(1.0, 9.0), bounds={"max": 8.9}).is_met is False


def test_one_missed_bound_of_two_is_a_miss():
    bounds = {"p50": 1.0, "p99": 2.0}
    assert Figure(name="a", unit="ms", values=(1.0, 1.0, 3.0), bounds=bounds).is_met is False


def test_without_bounds_or_without_values_nothing_is_met_or_missed():
    assert Figure(name="a", unit="ms", values=(1.0,)).is_met is None
    assert Figure(name="a", unit="ms", values=(), bounds={"p50": 1.0}).is_met is None


def test_the_table_is_aligned_and_says_what_is_missed():
    figures = [
        Figure(name="short", unit="ms", values=(0.1234, 250.0), bounds={"p50": 0.5, "p99": 2.0}),
        Figure(name="a longer name", unit="% core", values=(4.0,), bounds={"max": 4.0}),
        Figure(name="nothing", unit="MiB", values=()),
    ]
    assert table(figures).splitlines() == [
        "what           unit    n   p50  p99  max  bound               met",
        "-------------  ------  -  ----  ---  ---  ------------------  ---",
        "short          ms      2  0.12  250  250  p50 ≤ 0.5, p99 ≤ 2   NO",
        "a longer name  % core  1     4    4    4  max ≤ 4             yes",
        "nothing        MiB     0     -    -    -",
    ]


def test_a_figure_as_json_has_its_statistics_bounds_and_verdict():
    figure = Figure(name="a", unit="ms", values=(1.0, 2.0), bounds={"p50": 3.0}, note="why")
    assert json.loads(json.dumps(figure.to_json())) == {
        "name": "a",
        "unit": "ms",
        "n": 2,
        "p50": 1.0,
        "p99": 2.0,
        "max": 2.0,
        "bounds": {"p50": 3.0},
        "met": True,
        "note": "why",
    }


def test_the_bot_that_is_measured_loads_as_a_bot_and_has_all_roles(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])  # loading puts the bot's folder first
    monkeypatch.setitem(sys.modules, "bot", bot)
    module = load_bot(Path(bot.__file__))
    assert bot_of(module) is module.bot
    assert set(module.ROLES) == {"wait", "greet", "echo"}


def test_the_voice_talks_and_pauses_and_a_listener_hears_each_beginning():
    packets = voice.packets()
    listener = voice.Listener()
    heard = [n for n, each in enumerate(packets * 2) if listener.is_beginning(each)]
    assert len(heard) == 2
    assert heard[0] <= 2
    assert heard[1] - heard[0] == pytest.approx(len(packets), abs=2)


def test_a_listener_that_comes_in_the_middle_of_a_turn_waits_for_the_next():
    packets = voice.packets()
    listener = voice.Listener(was_quiet=False)
    heard = [n for n, each in enumerate(packets * 2) if listener.is_beginning(each)]
    assert len(heard) == 1
    assert heard[0] >= len(packets)


def test_a_process_is_seen_with_its_memory_and_its_processor_time():
    before = process.cpu_ns(os.getpid())
    end = time.process_time() + 0.02
    while time.process_time() < end:
        pass
    assert process.cpu_ns(os.getpid()) - before >= 20_000_000
    found = process.memory(os.getpid())
    assert 0 < found.uss <= found.rss


def test_the_machine_and_the_versions_are_recorded():
    described = machine.describe()
    assert described["cores"] >= 1
    assert described["versions"]["offhook"] != "none"
    assert "Linux" in machine.summary(described)
