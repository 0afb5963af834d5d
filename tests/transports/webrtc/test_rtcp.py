"""RTCP reports, read back by the library that peers use."""

import pytest
from aiortc.rtp import RtcpPacket, RtcpRrPacket, RtcpSdesPacket, RtcpSrPacket

from offhook.transports.webrtc import rtcp


def statistics(numbers: list[int], *, jitter_s: float = 0.0) -> rtcp.ReceptionStatistics:
    received = rtcp.ReceptionStatistics(clock_hz=48_000)
    for index, number in enumerate(numbers):
        now = number * 0.02 + (jitter_s if index % 2 else 0.0)
        received.add(ssrc=7, sequence=number & 0xFFFF, timestamp=number * 960, now=now)
    return received


def report(received: rtcp.ReceptionStatistics, *, now: float = 10.0):
    data = rtcp.receiver_report(5, received.block(now=now), cname="bot")
    packet, description = RtcpPacket.parse(data)
    assert isinstance(packet, RtcpRrPacket)
    assert isinstance(description, RtcpSdesPacket)
    assert packet.ssrc == 5
    assert description.chunks[0].items == [(1, b"bot")]
    return packet.reports[0]


def test_without_loss_the_report_says_so():
    block = report(statistics(list(range(100))))
    assert (block.ssrc, block.packets_lost, block.fraction_lost) == (7, 0, 0)
    assert block.highest_sequence == 99
    assert block.jitter == 0


def test_loss_is_counted_in_all_and_since_the_last_report():
    received = statistics([number for number in range(100) if number % 10 != 5])
    block = report(received)
    assert block.packets_lost == 10
    assert block.fraction_lost == 25
    assert report(received).fraction_lost == 0


def test_a_wrapped_sequence_number_goes_on_counting():
    block = report(statistics(list(range(65_500, 65_600))))
    assert block.highest_sequence == 65_599
    assert block.packets_lost == 0


def test_duplicates_make_the_loss_negative_as_the_rfc_wants():
    assert report(statistics([1, 2, 2, 2, 3])).packets_lost == -2


def test_jitter_is_measured_in_ticks():
    assert report(statistics(list(range(300)), jitter_s=0.01)).jitter == pytest.approx(480, rel=0.1)


def test_another_source_begins_anew():
    received = statistics([1, 2, 9])
    received.add(ssrc=8, sequence=500, timestamp=0, now=1.0)
    assert report(received).ssrc == 8
    assert report(received).packets_lost == 0


def test_the_peer_s_own_report_is_dated_so_that_it_can_measure_the_way():
    received = statistics([1, 2])
    received.sender_reported(0x1234_5678_9ABC_DEF0, now=9.0)
    block = report(received, now=9.5)
    assert block.lsr == 0x5678_9ABC
    assert block.dlsr == 32_768


def test_nothing_received_gives_a_report_without_a_block():
    data = rtcp.receiver_report(5, rtcp.ReceptionStatistics(clock_hz=8_000).block(now=1), cname="x")
    assert RtcpPacket.parse(data)[0].reports == []


def test_a_sender_report_tells_time_and_counts():
    data = rtcp.sender_report(
        5,
        statistics([1, 2]).block(now=1.0),
        cname="a-name",
        now=2.5,
        timestamp=(1 << 32) + 17,
        packets=3,
        octets=400,
    )
    packet = RtcpPacket.parse(data)[0]
    assert isinstance(packet, RtcpSrPacket)
    assert packet.sender_info.ntp_timestamp == 5 << 31
    assert packet.sender_info.rtp_timestamp == 17
    assert (packet.sender_info.packet_count, packet.sender_info.octet_count) == (3, 400)
    assert len(packet.reports) == 1


@pytest.mark.parametrize("length", range(8))
def test_any_name_is_padded_to_whole_words(length):
    data = rtcp.receiver_report(1, b"", cname="n" * length)
    assert len(data) % 4 == 0
    assert len(RtcpPacket.parse(data)) == 2
