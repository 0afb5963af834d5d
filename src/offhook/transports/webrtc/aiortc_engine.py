"""The engine on aiortc: its ICE, DTLS, SRTP and SCTP; the audio above them is ours."""

import asyncio
import logging
import secrets
from typing import Final

import anyio
from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidStateError
from aiortc.rtcicetransport import parse_stun_turn_uri
from aiortc.sdp import candidate_from_sdp

from offhook.errors import BadOfferError, OffhookError, WorkerError
from offhook.protocol.control import IceCandidate, IceServer, Step
from offhook.transports.webrtc import rtcp, rtp, sdp
from offhook.transports.webrtc.aiortc_internals import (
    MediaPath,
    choose_codec,
    is_drained,
    new_peer_connection,
    set_fragment_size,
)
from offhook.transports.webrtc.codec import Codec
from offhook.transports.webrtc.engine import AudioChunk, EngineListener
from offhook.transports.webrtc.inbound import InboundAudio
from offhook.transports.webrtc.outbound import OutboundAudio
from offhook.transports.webrtc.settings import WebRTCSettings
from offhook.transports.webrtc.udp import UdpPortsExhaustedError, binding_within

log = logging.getLogger(__name__)

UNSENT_LIMIT_BYTES: Final = 4 * 1024 * 1024
CONSENT_SHARE: Final = 0.25
"""A silent client that is there must answer before it counts as lost, even if some checks fail."""
CLOSE_TIMEOUT_S: Final = 1.0
DRAIN_POLL_S: Final = 0.01


class NoCandidatesError(WorkerError):
    """This machine has no address at which a client could reach the worker."""

    code = "no_candidates"


class AiortcEngine:
    """One peer connection of aiortc; see `Engine` for the contract."""

    def __init__(self, settings: WebRTCSettings, listener: EngineListener) -> None:
        set_fragment_size()
        self._settings = settings
        self._listener: EngineListener | None = listener
        self._peer_connection = new_peer_connection(
            RTCConfiguration(
                iceServers=_usable_servers(settings.ice_servers),
                bundlePolicy=RTCBundlePolicy.MAX_BUNDLE,
            )
        )
        self._peer_connection.on("connectionstatechange", self._connection_state_changed)
        self._peer_connection.on("iceconnectionstatechange", self._ice_state_changed)
        self._peer_connection.on("datachannel", self._channel_came)
        self._channel: RTCDataChannel | None = None
        self._path: MediaPath | None = None
        self._codec: Codec | None = None
        self._inbound: InboundAudio | None = None
        self._outbound: OutboundAudio | None = None
        self._received: rtcp.ReceptionStatistics | None = None
        self._formats: dict[str, tuple[int, int]] = {}
        self._report_timer: asyncio.TimerHandle | None = None
        self._reported_packets = 0
        self._came_since_report = False
        self._has_connected = False
        self._cname = secrets.token_hex(8)

    # Negotiation

    async def answer(self, sdp_text: str) -> str:
        """Answer an offer; see `Engine.answer`."""
        prepared = sdp.prepare_offer(sdp_text)
        try:
            text = await self._negotiate(prepared.text)
        except OffhookError:
            raise
        except Exception as error:
            # The library raises whatever its parser trips over in a stranger's text.
            log.info("offer refused", exc_info=True)
            raise BadOfferError(f"the offer cannot be answered: {error!r}") from error
        return sdp.complete_answer(text, prepared)

    async def _negotiate(self, offer: str) -> str:
        peer_connection = self._peer_connection
        await peer_connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        self._arrange(peer_connection.getTransceivers())
        ports = self._settings.udp_ports
        with binding_within(ports):
            await peer_connection.setLocalDescription()
        text: str = peer_connection.localDescription.sdp
        if "a=candidate:" not in text:
            if ports is not None:
                raise UdpPortsExhaustedError(ports)
            raise NoCandidatesError("this machine has no network address to be reached at")
        return text

    def _arrange(self, transceivers: list[RTCRtpTransceiver]) -> None:
        """Take the first audio section both ways, and nothing of the others."""
        audio: RTCRtpTransceiver | None = None
        for transceiver in transceivers:
            if audio is None and transceiver.kind == "audio":
                audio = transceiver
                transceiver.direction = "sendrecv"
            else:
                transceiver.direction = "inactive"
        codec = choose_codec(audio) if audio is not None else None
        if audio is None or codec is None:
            raise BadOfferError("the offer has no audio section with Opus, PCMU or PCMA")
        if self._path is None:
            self._path = MediaPath(
                audio,
                self,
                consent_interval_s=self._settings.client_lost_after_s * CONSENT_SHARE,
            )
            self._path.bound_gathering(self._settings.gathering_timeout_s)
        if codec != self._codec:
            self._use(codec, self._path.ssrc)

    def _use(self, codec: Codec, ssrc: int) -> None:
        if self._inbound is not None:
            self._inbound.close()
        self._codec = codec
        self._received = rtcp.ReceptionStatistics(clock_hz=codec.clock_hz)
        self._inbound = InboundAudio(
            codec, deliver=self._deliver, kept_s=self._settings.early_audio_s
        )
        self._outbound = OutboundAudio(codec, ssrc=ssrc)
        for way, (rate, channels) in self._formats.items():
            if way == "in":
                self._inbound.open(sample_rate_hz=rate, channels=channels)
            else:
                self._outbound.open(sample_rate_hz=rate, channels=channels)

    async def add_ice_candidate(self, candidate: IceCandidate) -> None:
        """Take one more candidate; see `Engine.add_ice_candidate`."""
        text = candidate.candidate.removeprefix("a=")
        if not sdp.is_usable_candidate(text):
            return  # end of candidates, TCP, a hidden address: nothing to add
        try:
            parsed = candidate_from_sdp(text.removeprefix("candidate:"))
            parsed.sdpMid = candidate.sdp_mid
            parsed.sdpMLineIndex = candidate.sdp_mline_index
            await self._peer_connection.addIceCandidate(parsed)
        except (ValueError, AssertionError, InvalidStateError) as error:
            log.info("candidate ignored", extra={"problem": repr(error)})

    # Audio

    def open_audio_in(self, *, sample_rate_hz: int, channels: int) -> None:
        """See `Engine.open_audio_in`."""
        self._formats["in"] = (sample_rate_hz, channels)
        if self._inbound is not None:
            self._inbound.open(sample_rate_hz=sample_rate_hz, channels=channels)

    def open_audio_out(self, *, sample_rate_hz: int, channels: int) -> None:
        """See `Engine.open_audio_out`."""
        if self._formats.get("out") == (sample_rate_hz, channels):
            return
        self._formats["out"] = (sample_rate_hz, channels)
        if self._outbound is not None:
            self._outbound.open(sample_rate_hz=sample_rate_hz, channels=channels)

    def send_audio(self, pcm: bytes, *, ticks: int, is_first: bool) -> None:
        """See `Engine.send_audio`."""
        if self._outbound is None or self._path is None:
            return
        packet = self._outbound.packet(pcm, ticks=ticks, is_first=is_first)
        if packet is not None and self._path.send(packet):
            self._schedule_report()

    def rtp_received(self, packet: rtp.RtpPacket) -> None:
        """Take a packet from the media path."""
        listener, inbound, received = self._listener, self._inbound, self._received
        if listener is None or inbound is None or received is None or self._codec is None:
            return
        if packet.payload_type != self._codec.payload_type:
            return
        now = asyncio.get_running_loop().time()
        listener.heard()
        received.add(
            ssrc=packet.ssrc, sequence=packet.sequence, timestamp=packet.timestamp, now=now
        )
        if not self._came_since_report:
            self._came_since_report = True
            listener.progress(Step.FIRST_AUDIO_IN)
            self._schedule_report()
        inbound.receive(packet, now=now)

    def loss_reported(self, percent: float) -> None:
        """The peer says how much of our audio it misses."""
        if self._outbound is not None:
            self._outbound.loss_reported(percent)

    def sender_reported(self, ntp_timestamp: int) -> None:
        """The peer sent its own report."""
        if self._received is not None:
            self._received.sender_reported(ntp_timestamp, now=asyncio.get_running_loop().time())

    def heard(self) -> None:
        """The peer answered or made an ICE check."""
        if self._listener is not None:
            self._listener.heard()

    def _deliver(self, chunk: AudioChunk) -> None:
        if self._listener is not None:
            self._listener.audio_received(chunk)

    def _schedule_report(self) -> None:
        """Report a second after something moved; nothing is scheduled in silence."""
        if self._report_timer is None and self._listener is not None:
            self._report_timer = asyncio.get_running_loop().call_later(
                rtcp.REPORT_INTERVAL_S, self._report
            )

    def _report(self) -> None:
        self._report_timer = None
        outbound, path, received = self._outbound, self._path, self._received
        if outbound is None or path is None or received is None:
            return
        now = asyncio.get_running_loop().time()
        block = received.block(now=now) if self._came_since_report else b""
        self._came_since_report = False
        if outbound.packets != self._reported_packets:
            self._reported_packets = outbound.packets
            report = rtcp.sender_report(
                outbound.ssrc,
                block,
                cname=self._cname,
                now=now,
                timestamp=outbound.timestamp,
                packets=outbound.packets,
                octets=outbound.octets,
            )
        else:
            report = rtcp.receiver_report(outbound.ssrc, block, cname=self._cname)
        path.send_report(report)

    # Messages

    def send_text(self, text: str) -> bool:
        """See `Engine.send_text`."""
        channel = self._channel
        if channel is None or channel.readyState != "open":
            return False
        if channel.bufferedAmount > UNSENT_LIMIT_BYTES:
            log.warning("message dropped", extra={"unsent_bytes": channel.bufferedAmount})
            return False
        try:
            channel.send(text)
        except ValueError as error:
            log.warning("message dropped", extra={"problem": str(error)})
            return False
        return True

    async def drain(self) -> None:
        """See `Engine.drain`."""
        while not is_drained(self._peer_connection):  # noqa: ASYNC110 -- aiortc has no event for it
            await anyio.sleep(DRAIN_POLL_S)

    def _channel_came(self, channel: RTCDataChannel) -> None:
        if self._channel is not None:
            log.info("data channel ignored", extra={"label": channel.label})
            return
        self._channel = channel
        channel.on("message", self._message_came)
        channel.on("close", self._channel_closed)
        if self._listener is not None:
            self._listener.heard()
            self._listener.progress(Step.DATA_CHANNEL_OPEN)
            self._listener.channel_opened()

    def _message_came(self, message: str | bytes) -> None:
        if self._listener is None:
            return
        self._listener.heard()
        if isinstance(message, str):
            self._listener.message_received(message)

    def _channel_closed(self) -> None:
        self._channel = None
        if self._listener is not None:
            self._listener.channel_closed()

    # States and the end

    def _ice_state_changed(self) -> None:
        if self._listener is not None and self._peer_connection.iceConnectionState == "completed":
            self._listener.progress(Step.ICE_CONNECTED)

    def _connection_state_changed(self) -> None:
        if self._listener is None:
            return
        state = self._peer_connection.connectionState
        if state == "connected" and not self._has_connected:
            self._has_connected = True
            self._listener.progress(Step.DTLS_DONE)
            self._listener.connected()
        elif state in {"closed", "failed"} and self._has_connected:
            self._listener.disconnected()

    async def aclose(self) -> None:
        """See `Engine.aclose`."""
        self._listener = None
        if self._report_timer is not None:
            self._report_timer.cancel()
            self._report_timer = None
        if self._inbound is not None:
            self._inbound.close()
        with anyio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
            await self._peer_connection.close()


def _usable_servers(servers: tuple[IceServer, ...]) -> list[RTCIceServer]:
    usable = []
    for server in servers:
        urls = [server.urls] if isinstance(server.urls, str) else list(server.urls)
        try:
            for url in urls:
                parse_stun_turn_uri(url)
        except ValueError:
            log.warning("ICE server ignored", extra={"urls": urls})
            continue
        usable.append(
            RTCIceServer(urls=urls, username=server.username, credential=server.credential)
        )
    return usable
