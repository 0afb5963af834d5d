"""What a connection is told."""

import dataclasses

import pytest

from offhook.transports.webrtc.settings import WebRTCSettings


def test_a_client_that_vanishes_is_noticed_within_ten_seconds():
    assert WebRTCSettings().client_lost_after_s < 10


def test_without_ice_servers_no_stranger_s_server_is_asked():
    assert WebRTCSettings().ice_servers == ()


def test_settings_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        WebRTCSettings().connect_timeout_s = 1.0
