"""The only place that touches what aiortc and aioice keep to themselves.

Each access is named in `INTERNALS`, which a test compares with the installed release.
Nothing here changes the libraries for others in the process, but for the SCTP fragment size.
"""

import asyncio
import functools
import os
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

import pylibsrtp
from aioice import stun
from aiortc import (
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpTransceiver,
    rtcsctptransport,
)
from aiortc.rtcdtlstransport import SRTP_PROFILES, RTCCertificate
from aiortc.rtp import RtcpReceiverInfo, RtcpRrPacket, RtcpSrPacket
from OpenSSL import SSL

from offhook.transports.webrtc import rtp
from offhook.transports.webrtc.codec import OPUS, PREFERENCE, Codec

SCTP_FRAGMENT_BYTES: Final = 1100
"""With the default of 1176 a link with an MTU of 1280 loses every full fragment."""

OPUS_PARAMETERS: Final = {"minptime": 10, "useinbandfec": 1}
LONGEST_CONSENT_INTERVAL_S: Final = 2.0
LOOPBACK: Final = "127.0.0.1"

INTERNALS: Final = {
    "aiortc.rtcdtlstransport.RTCDtlsTransport": ("_rtp_router", "_rx_srtp", "_tx_srtp"),
    "aiortc.rtcicetransport.RTCIceTransport": ("_connection",),
    "aiortc.rtcrtpsender.RTCRtpSender": ("_ssrc", "send"),
    "aiortc.rtcrtpreceiver.RTCRtpReceiver": ("receive",),
    "aiortc.rtcrtptransceiver.RTCRtpTransceiver": ("_codecs",),
    "aiortc.rtcsctptransport.RTCSctpTransport": (
        "_data_channel_queue",
        "_outbound_queue",
        "_sent_queue",
    ),
    "aiortc.rtcsctptransport": ("USERDATA_MAX_LENGTH",),
    "aiortc.rtcdtlstransport.RTCCertificate": ("_create_ssl_context", "generateCertificate"),
    "aiortc.rtcdtlstransport.RtpRouter": ("register_sender", "ssrc_table"),
    "aioice.ice.Connection": (
        "_nominated",
        "build_request",
        "data_received",
        "get_component_candidates",
        "query_consent",
        "request_received",
    ),
}
"""What is used, by the module or class that holds it."""


class MediaListener(Protocol):
    """Takes what comes over a media path."""

    def rtp_received(self, packet: rtp.RtpPacket) -> None: ...
    def loss_reported(self, percent: float) -> None: ...
    def sender_reported(self, ntp_timestamp: int) -> None: ...
    def heard(self) -> None: ...


def set_fragment_size() -> None:
    """Make SCTP fragments small enough for tunnels."""
    rtcsctptransport.USERDATA_MAX_LENGTH = SCTP_FRAGMENT_BYTES


@functools.lru_cache(maxsize=1)
def _certificate_of(pid: int) -> RTCCertificate:
    del pid  # a forked process must not share its parent's key
    return RTCCertificate.generateCertificate()


def prepare_certificate() -> RTCCertificate:
    """Make this process's DTLS certificate, once."""
    return _certificate_of(os.getpid())


def forget_certificate() -> None:
    """Throw this process's certificate away, with its key."""
    _certificate_of.cache_clear()


def certificate_context() -> SSL.Context:
    """Make the DTLS context that a peer connection of this process would make."""
    return prepare_certificate()._create_ssl_context(SRTP_PROFILES)  # noqa: SLF001


@contextmanager
def _with_certificate(certificate: RTCCertificate) -> Iterator[None]:
    """Let a peer connection take this certificate; its constructor has no parameter for one."""
    original = vars(RTCCertificate)["generateCertificate"]  # the class method itself, unbound
    RTCCertificate.generateCertificate = lambda: certificate  # type: ignore[method-assign]
    try:
        yield
    finally:
        RTCCertificate.generateCertificate = original  # type: ignore[method-assign]


def new_peer_connection(configuration: RTCConfiguration) -> RTCPeerConnection:
    """Make a peer connection with this process's certificate."""
    with _with_certificate(prepare_certificate()):
        return RTCPeerConnection(configuration)


def choose_codec(transceiver: RTCRtpTransceiver) -> Codec | None:
    """Narrow a negotiated transceiver to the one codec that we speak best."""
    negotiated = {codec.name.lower(): codec for codec in reversed(transceiver._codecs)}  # noqa: SLF001 -- see above
    name = next((name for name in PREFERENCE if name in negotiated), None)
    if name is None:
        return None
    codec = negotiated[name]
    if name == OPUS:
        codec.parameters = dict(OPUS_PARAMETERS)
    transceiver._codecs = [codec]  # noqa: SLF001
    return Codec(name, int(codec.payloadType or 0), int(codec.clockRate))


def is_drained(peer_connection: RTCPeerConnection) -> bool:
    """Whether the peer has acknowledged all messages."""
    sctp = peer_connection.sctp
    if sctp is None:
        return True
    return not (sctp._data_channel_queue or sctp._outbound_queue or sctp._sent_queue)  # noqa: SLF001


class MediaPath:
    """The encrypted path below an audio transceiver, for RTP packets as they are.

    The library's own sender and receiver are never started: no decoder thread, no executor, no
    task per packet. Packets are taken where they come from the socket and given to it directly.
    """

    def __init__(
        self,
        transceiver: RTCRtpTransceiver,
        listener: MediaListener,
        *,
        consent_interval_s: float = LONGEST_CONSENT_INTERVAL_S,
    ) -> None:
        self._listener = listener
        self._consent_interval_s = min(consent_interval_s, LONGEST_CONSENT_INTERVAL_S)
        # Untyped from here on: what follows replaces methods of these very objects.
        sender: Any = transceiver.sender
        receiver: Any = transceiver.receiver
        self._dtls: Any = receiver.transport
        self._ice: Any = self._dtls.transport._connection  # noqa: SLF001
        self._pass_on: Callable[[bytes, int], None] = self._ice.data_received
        self._answer_check: Callable[..., None] = self._ice.request_received
        self.ssrc: int = sender._ssrc  # noqa: SLF001
        self._remote_ssrc: int | None = None
        sender.send = self._started
        receiver.receive = self._started
        self._ice.data_received = self._data_received
        self._ice.request_received = self._request_received
        self._ice.query_consent = self._query_consent
        self._dtls._rtp_router.register_sender(self, self.ssrc)  # noqa: SLF001

    def bound_gathering(self, timeout_s: float) -> None:
        """Wait no longer than this for STUN and TURN servers; without a network, use loopback."""
        gather: Callable[..., Awaitable[list[Any]]] = self._ice.get_component_candidates

        async def bounded(component: int, addresses: list[str]) -> list[Any]:
            return await gather(
                component=component, addresses=addresses or [LOOPBACK], timeout=timeout_s
            )

        self._ice.get_component_candidates = bounded

    def send(self, packet: bytes) -> bool:
        """Encrypt and send an RTP packet; false while there is no connection."""
        srtp = self._dtls._tx_srtp  # noqa: SLF001
        return srtp is not None and self._send(srtp.protect, packet)

    def send_report(self, packet: bytes) -> bool:
        """Encrypt and send an RTCP packet; false while there is no connection."""
        srtp = self._dtls._tx_srtp  # noqa: SLF001
        return srtp is not None and self._send(srtp.protect_rtcp, packet)

    def _send(self, protect: Callable[[bytes], bytes], packet: bytes) -> bool:
        pair = self._ice._nominated.get(1)  # noqa: SLF001
        if pair is None or self._dtls.state != "connected":
            return False
        transport = pair.protocol.transport
        if transport.is_closing():
            return False
        transport.sendto(protect(packet), pair.remote_addr)
        return True

    async def _started(self, parameters: object) -> None:
        """Stand in for the library's own sender and receiver, which would start tasks."""

    def _data_received(self, data: bytes, component: int) -> None:
        if not data:
            return  # a stranger's empty datagram would end the library's DTLS task
        if not 127 < data[0] < 192 or rtp.is_rtcp(data):  # noqa: PLR2004 -- RFC 7983 §7
            self._pass_on(data, component)
            return
        srtp = self._dtls._rx_srtp  # noqa: SLF001
        if srtp is None:
            return
        try:
            packet = rtp.parse(srtp.unprotect(data))
        except pylibsrtp.Error:
            return
        if packet is None:
            return
        if packet.ssrc != self._remote_ssrc:
            self._remote_ssrc = packet.ssrc
            self._dtls._rtp_router.ssrc_table[packet.ssrc] = self  # noqa: SLF001
        self._listener.rtp_received(packet)

    def _request_received(self, *check: object) -> None:
        self._answer_check(*check)
        self._listener.heard()

    async def _query_consent(self) -> None:
        """Ask for consent (RFC 7675) without ending anything: the connection's watch does that."""
        while True:
            await asyncio.sleep(self._consent_interval_s * random.uniform(0.8, 1.2))  # noqa: S311
            for pair in list(self._ice._nominated.values()):  # noqa: SLF001
                request = self._ice.build_request(pair, nominate=False)
                try:
                    await pair.protocol.request(
                        request,
                        pair.remote_addr,
                        integrity_key=self._ice.remote_password.encode(),
                        retransmissions=0,
                    )
                except stun.TransactionError:
                    continue
                self._listener.heard()

    async def _handle_rtcp_packet(self, packet: object) -> None:
        if isinstance(packet, RtcpSrPacket) and packet.ssrc == self._remote_ssrc:
            self._listener.sender_reported(packet.sender_info.ntp_timestamp)
        if isinstance(packet, RtcpSrPacket | RtcpRrPacket):
            reports: list[RtcpReceiverInfo] = packet.reports
            for report in reports:
                if report.ssrc == self.ssrc:
                    self._listener.loss_reported(report.fraction_lost / 256 * 100)

    def _handle_disconnect(self) -> None:
        """The router calls its members when DTLS ends; nothing to do."""
