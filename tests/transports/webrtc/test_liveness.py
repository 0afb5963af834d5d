"""When a client counts as lost."""

from offhook.protocol.endings import EndReason
from offhook.transports.webrtc.liveness import Liveness


def watch() -> Liveness:
    return Liveness(connect_timeout_s=60, lost_after_s=8, now=0.0)


def test_a_client_that_never_connects_is_given_up_after_the_timeout():
    liveness = watch()
    assert liveness.verdict(now=59.9) is None
    assert liveness.verdict(now=60.0) is EndReason.NEVER_CONNECTED


def test_a_client_from_which_nothing_comes_is_lost():
    liveness = watch()
    liveness.connected(now=1.0)
    assert liveness.deadline == 9.0
    assert liveness.verdict(now=8.9) is None
    assert liveness.verdict(now=9.0) is EndReason.CLIENT_LOST


def test_anything_that_comes_proves_that_the_client_is_there():
    liveness = watch()
    liveness.connected(now=1.0)
    for now in range(2, 100):
        liveness.heard(now=float(now))
        assert liveness.verdict(now=now + 0.9) is None


def test_a_client_that_reconnects_has_more_time_but_not_as_much_as_a_new_one():
    liveness = watch()
    liveness.connected(now=1.0)
    liveness.connecting(now=5.0)
    assert liveness.verdict(now=20.9) is None
    assert liveness.verdict(now=21.0) is EndReason.CLIENT_LOST
    liveness.connected(now=6.0)
    assert liveness.verdict(now=13.9) is None


def test_a_client_that_begins_again_before_it_ever_connected_has_all_its_time():
    liveness = watch()
    liveness.connecting(now=5.0)
    assert liveness.verdict(now=64.9) is None
    assert liveness.verdict(now=65.0) is EndReason.NEVER_CONNECTED
