"""Stand-ins without a network."""

from offhook.errors import BadOfferError
from offhook.protocol.control import IceCandidate
from offhook.transports.webrtc.engine import EngineListener
from offhook.transports.webrtc.settings import WebRTCSettings


class FakeEngine:
    """An engine that remembers what it was given; a test plays its peer."""

    def __init__(
        self, settings: WebRTCSettings | None = None, listener: EngineListener | None = None
    ) -> None:
        self.settings = settings
        self.listener = listener
        self.offers: list[str] = []
        self.candidates: list[IceCandidate] = []
        self.audio_in: tuple[int, int] | None = None
        self.audio_out: tuple[int, int] | None = None
        self.sent: list[bytes] = []
        self.texts: list[str] = []
        self.is_closed = False

    async def answer(self, sdp: str) -> str:
        self.offers.append(sdp)
        if "bad" in sdp:
            raise BadOfferError("bad")
        return f"answer to {sdp}"

    async def add_ice_candidate(self, candidate: IceCandidate) -> None:
        self.candidates.append(candidate)

    def open_audio_in(self, *, sample_rate_hz: int, channels: int) -> None:
        self.audio_in = (sample_rate_hz, channels)

    def open_audio_out(self, *, sample_rate_hz: int, channels: int) -> None:
        self.audio_out = (sample_rate_hz, channels)

    def send_audio(self, pcm: bytes, *, ticks: int, is_first: bool) -> None:
        self.sent.append(pcm)

    def send_text(self, text: str) -> bool:
        self.texts.append(text)
        return True

    async def drain(self) -> None:
        pass

    async def aclose(self) -> None:
        self.is_closed = True
