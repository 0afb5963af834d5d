"""Offers: what real peers write passes, what cannot be answered is named."""

import asyncio
import random
import re
from pathlib import Path

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from hypothesis import given, settings
from hypothesis import strategies as st

from offhook.errors import BadOfferError
from offhook.protocol import sdp
from offhook.protocol.control import IceCandidate

VALID = Path(__file__).parent.parent / "wire" / "sdp" / "valid"
OFFERS = {path.stem: path.read_bytes().decode() for path in sorted(VALID.glob("*.sdp"))}
CLIENT = OFFERS["chromium-client"]
AUDIO = OFFERS["chromium-audio"]
FULL = OFFERS["firefox-client"]
FINGERPRINT = re.compile("a=fingerprint:sha-256 .*\r\n")


async def answer(offer: str) -> str:
    """Let the real engine answer."""
    peer_connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        await peer_connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        for transceiver in peer_connection.getTransceivers():
            transceiver.direction = "sendrecv"
        await peer_connection.setLocalDescription(await peer_connection.createAnswer())
        return peer_connection.localDescription.sdp
    finally:
        await peer_connection.close()


@pytest.mark.parametrize("name", OFFERS)
async def test_a_real_offer_passes_and_is_answered(name):
    offer = sdp.parse_offer(OFFERS[name])

    answered = await answer(offer.sdp)

    assert tuple(re.findall("^m=([a-z]+)", answered, re.MULTILINE)) == offer.kinds
    assert tuple(re.findall("^a=mid:(.*?)\r?$", answered, re.MULTILINE)) == offer.mids


@pytest.mark.parametrize("name", ["chromium-client", "chromium-audio", "safari-audio", "aiortc"])
def test_a_complete_offer_is_not_changed(name):
    assert sdp.parse_offer(OFFERS[name]).sdp == OFFERS[name]


@pytest.mark.parametrize("name", OFFERS)
def test_checking_twice_changes_nothing_more(name):
    once = sdp.parse_offer(OFFERS[name])
    assert sdp.parse_offer(once.sdp) == once


def test_lines_may_end_with_a_newline_alone():
    assert sdp.parse_offer(AUDIO.replace("\r\n", "\n")).sdp == AUDIO


def test_a_data_channel_is_noticed():
    assert sdp.parse_offer(AUDIO).has_data_channel
    assert not sdp.parse_offer(OFFERS["bare-telephone"]).has_data_channel


def test_codecs_of_the_telephone_need_no_description():
    offer = sdp.parse_offer(OFFERS["bare-telephone"]).sdp
    assert "a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n" in offer


def test_a_missing_direction_is_the_default_one():
    assert sdp.parse_offer(AUDIO.replace("a=sendrecv\r\n", "")).sdp.count("a=sendrecv\r\n") == 1


def test_a_direction_of_the_session_holds_for_a_section_without_one():
    offer = AUDIO.replace("a=sendrecv\r\n", "").replace("t=0 0\r\n", "t=0 0\r\na=sendonly\r\n")
    assert sdp.parse_offer(offer).sdp.count("a=sendonly\r\n") == 2


def test_a_bundle_only_section_has_the_transport_of_the_first():
    _, _, second = sdp.parse_offer(OFFERS["bundle-only"]).sdp.split("m=")
    assert {"a=ice-ufrag:abcd", "a=setup:actpass"} <= set(second.split("\r\n"))
    assert FINGERPRINT.search(second)


def test_parameters_of_a_format_that_is_not_described_are_dropped():
    assert "a=fmtp:97 apt=96" not in sdp.parse_offer(OFFERS["bundle-only"]).sdp


def change(offer: str, old: str, new: str, count: int = 1) -> str:
    assert old in offer, "the test is out of date"
    return offer.replace(old, new, count)


LONG = "a=x:" + "y" * 1000 + "\r\n"
REFUSED = {
    "empty": ("", "does not begin"),
    "nonsense": ("hello", "does not begin"),
    "another version": (change(AUDIO, "v=0", "v=1"), "does not begin"),
    "two versions": (change(AUDIO, "s=-", "v=1"), "second version"),
    "blank lines": (change(AUDIO, "s=-\r\n", "s=-\r\n\r\n"), "no SDP line"),
    "no type": (change(AUDIO, "s=-", "hello"), "no SDP line"),
    "a type in capitals": (change(AUDIO, "s=-", "S=-"), "no SDP line"),
    "a bare carriage return": (change(AUDIO, "s=-", "s=-\rm=audio"), "no SDP line"),
    "a control character": (change(AUDIO, "s=-", "s=\x00"), "control characters"),
    "a line separator": (change(AUDIO, "s=-", "s=\u2028"), "control characters"),
    "half a character": (change(AUDIO, "s=-", "s=\ud800"), "control characters"),
    "too long": (AUDIO + LONG * 64, "limit 65536"),
    "too long in bytes": (change(AUDIO, "s=-", "s=" + "é" * 40_000), "limit 65536"),
    "no sections": (AUDIO[: AUDIO.index("m=")], "no media sections"),
    "too many sections": (AUDIO + "m=audio 9 RTP/SAVPF 0\r\na=x\r\n" * 16, "18 media sections"),
    "another medium": (change(AUDIO, "m=audio", "m=text"), "not the media line"),
    "no port": (re.sub("m=audio [0-9]+", "m=audio x", AUDIO), "not the media line"),
    "an impossible port": (re.sub("m=audio [0-9]+", "m=audio 99999", AUDIO), "of WebRTC"),
    "unencrypted audio": (change(AUDIO, "UDP/TLS/RTP/SAVPF", "RTP/AVP"), "of WebRTC"),
    "another application": (change(AUDIO, "UDP/DTLS/SCTP", "UDP/BFCP"), "of WebRTC"),
    "a rejected section": (re.sub("m=audio [0-9]+", "m=audio 0", AUDIO), "switched off"),
    "a bad connection": (change(AUDIO, "c=IN IP4", "c=IN IP5"), "no connection line"),
    "no mid": (change(AUDIO, "a=mid:0\r\n", ""), "a=mid of its own"),
    "the same mid twice": (change(AUDIO, "a=mid:1", "a=mid:0"), "a=mid of its own"),
    "two mids": (change(AUDIO, "a=mid:0", "a=mid:0\r\na=mid:2"), "second mid"),
    "no bundle": (change(AUDIO, "a=group:BUNDLE 0 1\r\n", ""), "in one a=group:BUNDLE"),
    "a bundle of some": (change(AUDIO, "BUNDLE 0 1", "BUNDLE 0"), "in one a=group:BUNDLE"),
    "a bundle of others": (change(AUDIO, "BUNDLE 0 1", "BUNDLE 0 2"), "in one a=group:BUNDLE"),
    "an empty bundle": (change(OFFERS["bare-telephone"], "t=0 0", "t=0 0\r\na=group:BUNDLE"), "in"),
    "two bundles": (
        change(AUDIO, "BUNDLE 0 1", "BUNDLE 0 1\r\na=group:BUNDLE 0 1"),
        "in one a=group:BUNDLE",
    ),
    "a bundle that begins elsewhere": (change(AUDIO, "BUNDLE 0 1", "BUNDLE 1 0"), "must begin"),
    "no ICE user": (re.sub("a=ice-ufrag.*\r\n", "", AUDIO), "has no a=ice-ufrag"),
    "no ICE password": (re.sub("a=ice-pwd.*\r\n", "", AUDIO), "has no a=ice-pwd"),
    "a short ICE password": (re.sub("a=ice-pwd:.*\r", "a=ice-pwd:x\r", AUDIO), "valid ice-pwd"),
    "no setup": (change(AUDIO, "a=setup:actpass\r\n", "", 2), "has no a=setup"),
    "an unknown setup": (change(AUDIO, "a=setup:actpass", "a=setup:holdconn"), "valid setup"),
    "no fingerprint": (FINGERPRINT.sub("", AUDIO), "has no a=fingerprint"),
    "a weak fingerprint": (change(AUDIO, ":sha-256 ", ":md5 ", 2), "no fingerprint of"),
    "half a fingerprint": (re.sub("sha-256 .*\r", "sha-256 0A:0B\r", AUDIO), "no fingerprint of"),
    "a garbled fingerprint": (re.sub("sha-256 .*\r", "sha-256 xyz\r", AUDIO), "valid fingerprint"),
    "no rtcp-mux": (change(AUDIO, "a=rtcp-mux\r\n", ""), "no a=rtcp-mux"),
    "no audio": (
        re.sub(
            "m=audio.*(?=m=application)",
            "",
            change(AUDIO, "BUNDLE 0 1", "BUNDLE 1"),
            flags=re.DOTALL,
        ),
        "no audio section",
    ),
    "an unknown audio codec": (
        re.sub("(opus|PCMU|PCMA)/", "acme/", AUDIO),
        "offers none of opus, PCMU or PCMA",
    ),
    "codecs under odd numbers": (
        change(change(AUDIO, " 111 63 9 0 8 ", " 50 63 9 "), "a=rtpmap:111", "a=rtpmap:50"),
        "offers none of opus",
    ),
    "video codecs that we do not have": (
        re.sub("(VP8|H264)/", "acme/", CLIENT),
        "offers none of VP8 or baseline H264",
    ),
    "H264 of another packing": (
        re.sub("VP8/", "acme/", CLIENT).replace("packetization-mode=1", "packetization-mode=2"),
        "offers none of VP8 or baseline H264",
    ),
    "a format that is none": (change(AUDIO, " 126\r\n", " 126 x\r\n"), "impossible format 'x'"),
    "a format too high": (change(AUDIO, " 126\r\n", " 126 200\r\n"), "impossible format '200'"),
    "a format like RTCP": (change(AUDIO, " 126\r\n", " 126 72\r\n"), "impossible format '72'"),
    "a format twice": (change(AUDIO, "a=rtpmap:0 ", "a=rtpmap:8 "), "a format twice"),
    "parameters twice": (
        change(AUDIO, "a=fmtp:111", "a=fmtp:111 apt=1\r\na=fmtp:111"),
        "a format twice",
    ),
    "a parameter that is no number": (change(AUDIO, "minptime=10", "minptime=x"), "minptime"),
    "a parameter without a value": (
        CLIENT.replace("packetization-mode=1", "packetization-mode"),
        "packetization-mode",
    ),
    "a garbled format": (change(AUDIO, "opus/48000/2", "opus"), "valid rtpmap"),
    "a garbled extension": (change(AUDIO, "a=extmap:1 ", "a=extmap:one "), "valid extmap"),
    "a garbled candidate": (change(AUDIO, " typ host", " typ"), "valid candidate"),
    "a garbled related port": (
        change(FULL, "rport 40001", "rport x"),
        "valid candidate",
    ),
    "no SCTP port": (re.sub("a=sctp-port.*\r\n", "", AUDIO), "no SCTP port"),
    "SCTP port 0": (change(AUDIO, "sctp-port:5000", "sctp-port:0"), "no SCTP port"),
    "an older SCTP port that is none": (
        change(OFFERS["older-data-channel"], "DTLS/SCTP 5000", "DTLS/SCTP x"),
        "no SCTP port",
    ),
    "two data channels": (
        change(AUDIO, "BUNDLE 0 1", "BUNDLE 0 1 2")
        + ("m=application" + AUDIO.split("m=application")[1]).replace("mid:1", "mid:2"),
        "more than one data channel section",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_offer_that_cannot_be_answered_is_refused_in_words(case):
    offer, words = REFUSED[case]
    with pytest.raises(BadOfferError, match=words) as refusal:
        sdp.parse_offer(offer)
    assert refusal.value.detail.endswith(".")
    assert len(refusal.value.detail) < 200


CHARACTERS = st.sampled_from(" :=/;,-+.0159aAmMvxzé\r\n\t\x0b\x85")


def mutate(offer: str, seed: int, extra: str) -> str:
    """Do to an offer what broken peers, proxies and attackers do."""
    rng = random.Random(seed)
    lines = offer.split("\r\n")
    for _ in range(rng.choice([1, 1, 2, 5])):
        at = rng.randrange(len(lines))
        line = lines[at]
        cut = rng.randrange(len(line) + 1)
        match rng.randrange(8):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, rng.choice(lines))
            case 2:
                lines[at] = line[:cut] + extra + line[cut:]
            case 3:
                lines[at] = line[:cut]
            case 4:
                lines[at] = line[:cut] + extra + line[cut + len(extra) :]
            case 5:
                other = rng.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
            case 6:
                lines[at] = re.sub("[0-9]+", lambda _: str(rng.randrange(0, 300)), line)
            case _:
                lines[at] = line.partition(":")[0]
        lines = lines or [""]
    return "\r\n".join(lines)


@given(
    name=st.sampled_from(sorted(OFFERS)),
    seed=st.integers(0, 2**32),
    extra=st.text(CHARACTERS, max_size=4),
)
@settings(max_examples=400)
def test_whatever_passes_is_answered_by_the_real_engine(name, seed, extra):
    try:
        offer = sdp.parse_offer(mutate(OFFERS[name], seed, extra))
    except BadOfferError:
        return
    asyncio.run(answer(offer.sdp))


@given(st.text())
def test_any_text_is_an_offer_or_is_refused(text):
    for offer in (text, "v=0\r\n" + text):
        with pytest.raises(BadOfferError):
            sdp.parse_offer(offer)


HOST = "candidate:1 1 udp 2122260223 192.0.2.5 51321 typ host generation 0 ufrag x network-id 1"


@pytest.mark.parametrize(
    "candidate",
    [
        IceCandidate(candidate=HOST, sdp_mid="0", sdp_mline_index=0),
        IceCandidate(candidate="a=" + HOST),
        IceCandidate(candidate=HOST.removeprefix("candidate:"), sdp_mid=""),
        IceCandidate(candidate="", sdp_mid="0", sdp_mline_index=0),
        IceCandidate(candidate=HOST, sdp_mid="no such mid", sdp_mline_index=99),
        IceCandidate(candidate=HOST.replace("192.0.2.5", "c0ffee.local")),
        IceCandidate(candidate=HOST.replace("typ host", "typ srflx raddr 192.0.2.5 rport 9")),
    ],
)
def test_what_clients_trickle_passes(candidate):
    sdp.check_candidates([candidate])


@pytest.mark.parametrize(
    "candidate",
    [
        IceCandidate(candidate="nonsense"),
        IceCandidate(candidate=HOST + "\r\na=x"),
        IceCandidate(candidate=HOST + " x" * 400),
        IceCandidate(candidate=HOST.replace("51321", "port")),
        IceCandidate(candidate=HOST, sdp_mid="x" * 65),
        IceCandidate(candidate=HOST, sdp_mid="é"),
        IceCandidate(candidate=HOST, sdp_mline_index=-1),
        IceCandidate(candidate=HOST, sdp_mline_index=10**30),
    ],
)
def test_a_candidate_that_is_none_is_refused(candidate):
    with pytest.raises(sdp.BadCandidateError, match="andidate 1 "):
        sdp.check_candidates([IceCandidate(candidate=HOST), candidate])


def test_too_many_candidates_at_once_are_refused():
    candidate = IceCandidate(candidate=HOST)
    sdp.check_candidates([candidate] * 64)
    with pytest.raises(sdp.BadCandidateError, match="65 candidates at once"):
        sdp.check_candidates([candidate] * 65)
