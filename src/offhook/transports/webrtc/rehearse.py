"""What an idle worker does before its session, so that the first offer finds everything warm.

A fork shares the template's memory until it writes to it, and the first key, the first socket and
the first encoder each cost milliseconds. A rehearsed worker has paid for them.
"""

import asyncio
from contextlib import suppress
from typing import Final

from OpenSSL import SSL

from offhook.transports.webrtc import jitter, rtcp, rtp
from offhook.transports.webrtc.aiortc_engine import AiortcEngine
from offhook.transports.webrtc.aiortc_internals import (
    certificate_context,
    forget_certificate,
    prepare_certificate,
)
from offhook.transports.webrtc.engine import EngineListener
from offhook.transports.webrtc.opus import OpusDecoder, OpusEncoder, library
from offhook.transports.webrtc.rtp import FRAMES_PER_S
from offhook.transports.webrtc.settings import WebRTCSettings
from offhook.transports.webrtc.udp import new_event_loop

RATE_HZ: Final = 24_000
TRANSPORT_LINES: Final = (
    "c=IN IP4 0.0.0.0",
    "a=ice-ufrag:dry1",
    "a=ice-pwd:rehearsalrehearsalrehear",
    "a=fingerprint:sha-256 " + ":".join(["00"] * 32),
    "a=setup:actpass",
)
VIDEO_LINES: Final = (
    "a=sendrecv",
    "a=rtcp-mux",
    "a=rtpmap:96 VP8/90000",
    "a=rtpmap:97 rtx/90000",
    "a=fmtp:97 apt=96",
)
OFFER_LINES: Final = (
    "v=0",
    "o=- 1 1 IN IP4 127.0.0.1",
    "s=-",
    "t=0 0",
    "a=group:BUNDLE 0 1 2",
    "m=audio 9 UDP/TLS/RTP/SAVPF 111",
    *TRANSPORT_LINES,
    "a=mid:0",
    "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    "a=sendrecv",
    "a=rtcp-mux",
    "a=rtpmap:111 opus/48000/2",
    "a=fmtp:111 minptime=10;useinbandfec=1",
    "m=video 9 UDP/TLS/RTP/SAVPF 96 97",
    *TRANSPORT_LINES,
    "a=mid:1",
    *VIDEO_LINES,
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    *TRANSPORT_LINES,
    "a=mid:2",
    "a=sctp-port:5000",
    "a=max-message-size:262144",
)


def preload() -> None:
    """Import and load all that a session needs; starts no thread and makes no key."""
    library()


def prewarm() -> None:
    """Rehearse in the template, so that all workers share what the libraries set up for good.

    No thread and no loop is left. The key made here is thrown away; each worker makes its own.
    """
    preload()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(rehearse())
    forget_certificate()


async def rehearse() -> None:
    """Answer an offer that nobody made, code some silence, and free all that it took.

    Takes some milliseconds and no network traffic. The DTLS certificate that it makes is the one
    of the session to come.
    """
    prepare_certificate()
    engine = AiortcEngine(WebRTCSettings(), _deaf())
    try:
        await engine.answer("\r\n".join(OFFER_LINES) + "\r\n")
    finally:
        await engine.aclose()
    _shake_hands()
    _code_silence()


def _deaf() -> EngineListener:
    def nothing(*_: object) -> None:
        pass

    return EngineListener(
        connected=nothing,
        disconnected=nothing,
        progress=nothing,
        heard=nothing,
        audio_received=nothing,
        channel_opened=nothing,
        channel_closed=nothing,
        message_received=nothing,
    )


def _shake_hands() -> None:
    """Do a DTLS handshake between two ends in memory."""
    context = certificate_context()
    ends = SSL.Connection(context), SSL.Connection(context)
    ends[0].set_connect_state()
    ends[1].set_accept_state()
    for turn in range(12):
        here, there = ends[turn % 2], ends[1 - turn % 2]
        with suppress(SSL.WantReadError):
            here.do_handshake()
        with suppress(SSL.WantReadError):
            while True:
                there.bio_write(here.bio_read(1500))


def _code_silence() -> None:
    """Send some packets through encoder, jitter buffer and decoder."""
    encoder = OpusEncoder(sample_rate_hz=RATE_HZ)
    decoder = OpusDecoder(sample_rate_hz=RATE_HZ)
    buffer = jitter.JitterBuffer()
    statistics = rtcp.ReceptionStatistics(clock_hz=rtp.OPUS_CLOCK_HZ)
    for number in range(3):
        payload = encoder.encode(bytes(RATE_HZ // FRAMES_PER_S * 2))
        data = rtp.build(
            payload, payload_type=111, sequence=number, timestamp=number * rtp.FRAME_TICKS, ssrc=1
        )
        packet = rtp.parse(data)
        if packet is None:
            return
        now = number * rtp.FRAME_S
        statistics.add(ssrc=1, sequence=number, timestamp=packet.timestamp, now=now)
        ticks = rtp.opus_ticks(packet.payload)
        entry = jitter.Packet(packet.sequence, packet.timestamp, 1, ticks, packet.payload)
        for playout in buffer.put(entry, now=now):
            if isinstance(playout, jitter.Decode):
                decoder.decode(playout.payload)
    decoder.conceal(RATE_HZ // FRAMES_PER_S)
    rtcp.receiver_report(1, statistics.block(now=1.0), cname="rehearsal")
