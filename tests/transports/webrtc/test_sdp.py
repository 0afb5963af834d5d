"""Our edits of offers and answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import BadOfferError
from offhook.transports.webrtc.sdp import complete_answer, is_usable_candidate, prepare_offer

SESSION = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0 1 2"]
TRANSPORT = ["a=ice-ufrag:abcd", "a=ice-pwd:0123456789012345678901", "a=fingerprint:sha-256 00:11"]
AUDIO = ["m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=mid:0", *TRANSPORT, "a=rtpmap:111 opus/48000/2"]
VIDEO = ["m=video 9 UDP/TLS/RTP/SAVPF 96", "a=mid:1", *TRANSPORT, "a=rtpmap:96 VP8/90000"]
AV1 = ["m=video 9 UDP/TLS/RTP/SAVPF 45", "a=mid:1", *TRANSPORT, "a=rtpmap:45 AV1/90000"]
DATA = ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=mid:2", *TRANSPORT]


def offer(*sections: list[str]) -> str:
    return "\r\n".join(SESSION + [line for section in sections for line in section]) + "\r\n"


def test_a_usable_offer_stays_as_it_is():
    text = offer(AUDIO, VIDEO, DATA)
    prepared = prepare_offer(text)
    assert prepared.text == text
    assert prepared.rejected == {}


def test_hidden_candidates_and_the_end_mark_are_left_out():
    plain = "a=candidate:1 1 udp 2122260223 192.168.1.5 51321 typ host generation 0"
    hidden = "a=candidate:2 1 udp 2122260223 3f2a-91.local 51321 typ host"
    tcp = "a=candidate:3 1 tcp 1518280447 192.168.1.5 9 typ host tcptype active"
    prepared = prepare_offer(offer([*AUDIO, plain, hidden, tcp, "a=end-of-candidates"]))
    assert plain in prepared.text
    assert ".local" not in prepared.text
    assert "tcptype" not in prepared.text
    assert "end-of-candidates" not in prepared.text


@pytest.mark.parametrize(
    "section",
    [
        AV1,
        ["m=video 0 UDP/TLS/RTP/SAVPF 96", *VIDEO[1:]],
        ["m=text 9 UDP/TLS/RTP/SAVPF 98", "a=mid:1"],
        ["m=video 9"],
    ],
)
def test_a_section_that_cannot_be_answered_is_rejected_in_its_place(section):
    prepared = prepare_offer(offer(AUDIO, section, DATA))
    assert section[0] not in prepared.text
    answer = complete_answer(offer(AUDIO, DATA), prepared) if len(section[0].split()) > 3 else ""
    kinds = [line.split()[0] for line in answer.splitlines() if line.startswith("m=")]
    if answer:
        assert kinds == ["m=audio", section[0].split()[0], "m=application"]
        rejected = answer.splitlines()[len(SESSION) + len(AUDIO) :]
        assert rejected[0].split()[1] == "0"
        assert "a=mid:1" in rejected[:4]


def test_a_rejected_section_is_no_member_of_the_bundle():
    prepared = prepare_offer(offer(AUDIO, AV1, DATA))
    assert "a=group:BUNDLE 0 2" in prepared.text


def test_a_section_without_a_port_that_is_only_bundled_is_kept():
    bundled = ["m=video 0 UDP/TLS/RTP/SAVPF 96", *VIDEO[1:], "a=bundle-only"]
    assert prepare_offer(offer(AUDIO, bundled)).rejected == {}


@pytest.mark.parametrize("formats", ["0", "8", "0 8 101"])
def test_static_g711_needs_no_description(formats):
    audio = [f"m=audio 9 UDP/TLS/RTP/SAVPF {formats}", "a=mid:0", *TRANSPORT]
    assert prepare_offer(offer(audio)).rejected == {}


def test_transport_lines_may_be_those_of_the_session():
    text = "\r\n".join([*SESSION, *TRANSPORT, *AUDIO[:2], *AUDIO[5:]])
    assert prepare_offer(text).rejected == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no SDP"),
        ("hello", "no SDP"),
        ("v=0\r\n", "no audio"),
        (offer(DATA), "no audio"),
        (offer(["m=audio 9 UDP/TLS/RTP/SAVPF 9", "a=mid:0", *TRANSPORT]), "no audio"),
        (offer(["m=audio 0 UDP/TLS/RTP/SAVPF 111", *AUDIO[1:]]), "no audio"),
        (offer([line for line in AUDIO if "ufrag" not in line]), "ice-ufrag"),
        (offer([line for line in AUDIO if "pwd" not in line]), "ice-pwd"),
        (offer([line for line in AUDIO if "fingerprint" not in line]), "fingerprint"),
        (offer([line for line in AUDIO if "mid" not in line]), "mid"),
        (offer(*[AUDIO] * 40), "too many"),
        ("v=0\r\n" + "a=x\r\n" * 100_000, "too long"),
    ],
)
def test_an_unusable_offer_is_refused_with_its_reason(text, problem):
    with pytest.raises(BadOfferError, match=problem):
        prepare_offer(text)


@pytest.mark.parametrize(
    ("candidate", "is_usable"),
    [
        ("candidate:1 1 udp 2122260223 192.168.1.5 51321 typ host", True),
        ("1 1 UDP 2122260223 192.168.1.5 51321 typ srflx raddr 0.0.0.0 rport 0", True),
        ("candidate:1 1 udp 2122260223 3f2a.local 51321 typ host", False),
        ("candidate:1 2 udp 2122260223 192.168.1.5 51321 typ host", False),
        ("candidate:1 1 tcp 2122260223 192.168.1.5 9 typ host", False),
        ("", False),
        ("candidate:", False),
    ],
)
def test_only_plain_udp_candidates_of_rtp_are_usable(candidate, is_usable):
    assert is_usable_candidate(candidate) is is_usable


@given(st.lists(st.sampled_from([*SESSION, *AUDIO, *VIDEO, *DATA, *AV1, "m=audio", "m=", "x"])))
def test_any_lines_are_prepared_or_refused(lines):
    try:
        prepared = prepare_offer("\r\n".join(lines))
    except BadOfferError:
        return
    assert prepared.text.count("m=audio ") >= 1
