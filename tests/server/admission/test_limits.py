"""Lines are counted exactly."""

import pytest

from offhook.server.admission.limits import Limits
from offhook.server.admission.rules import BusyError, DrainingError


def test_as_many_lines_as_allowed_can_be_taken_and_no_more():
    limits = Limits(max_sessions=2)
    limits.take()
    limits.take()
    with pytest.raises(BusyError):
        limits.take()
    assert limits.live == 2


def test_a_freed_line_can_be_taken_again():
    limits = Limits(max_sessions=1)
    limits.take()
    limits.free()
    limits.take()
    assert limits.live == 1


def test_asking_takes_nothing():
    limits = Limits(max_sessions=1)
    limits.check()
    limits.check()
    assert limits.live == 0


def test_a_server_that_drains_gives_no_line_and_says_so_to_who_has_one():
    limits = Limits(max_sessions=1)
    limits.take()
    limits.check_serving()
    limits.drain()
    assert limits.is_draining
    with pytest.raises(DrainingError):
        limits.check()
    with pytest.raises(DrainingError):
        limits.check_serving()
