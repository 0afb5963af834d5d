"""PURE: offers and candidates as WebRTC peers write them, checked before a bot is started.

What passes here can be answered: lines that the engine reads are checked against the grammar of
RFC 8866, RFC 8839, RFC 8842 and RFC 9429; a few things that peers may leave out are filled in.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from offhook.errors import BadOfferError, PeerError
from offhook.protocol.control import IceCandidate

MAX_SDP_BYTES: Final = 64 * 1024
MAX_SECTIONS: Final = 16
MAX_CANDIDATES: Final = 64
"""In one PATCH."""
MAX_CANDIDATE_LENGTH: Final = 512
MAX_MID_LENGTH: Final = 64
MAX_LINE_INDEX: Final = 255

# RFC 3551 §6: they may be offered without a=rtpmap.
STATIC_CODECS: Final = {0: "PCMU/8000", 8: "PCMA/8000"}
DYNAMIC_PAYLOAD_TYPES: Final = range(96, 128)
# RFC 5761 §4: with rtcp-mux these would look like RTCP.
RTCP_PAYLOAD_TYPES: Final = range(64, 96)
AUDIO_CODECS: Final = {"opus/48000": None, "pcmu/8000": 0, "pcma/8000": 8}
"""What we speak, and the static payload type where there is one."""
MAX_PORT: Final = 65535
SINGLE_ATTRIBUTES: Final = frozenset({"ice-pwd", "ice-ufrag", "mid", "sctp-port", "setup"})
STRONG_HASHES: Final = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
"""Fingerprints that secure a connection, and their lengths in bytes."""
NUMERIC_PARAMETERS: Final = frozenset(
    {"apt", "max-fr", "max-fs", "maxplaybackrate", "minptime", "packetization-mode", "stereo"}
    | {"useinbandfec"}
)
DIRECTIONS: Final = frozenset({"sendrecv", "sendonly", "recvonly", "inactive"})
TRANSPORT_ATTRIBUTES: Final = frozenset({"ice-ufrag", "ice-pwd", "fingerprint", "setup"})

CANDIDATE: Final = re.compile(
    r"\S{1,64} \d{1,5} [A-Za-z]{1,8} \d{1,10} \S{1,255} \d{1,5} typ [a-z]{1,16}"
    r"(?: rport \d{1,5}| (?!rport )\S{1,64} \S{1,255})*",
    re.ASCII,
)
_CONNECTION: Final = re.compile(r"IN IP[46] [^ ]+")
_MEDIA: Final = re.compile(
    r"(audio|video|application) (\d{1,5}) ([A-Z/]+) ([!-~]+(?: [!-~]+)*)", re.ASCII
)
_NUMBER: Final = re.compile(r"\d{1,9}", re.ASCII)
_UNPRINTABLE: Final = re.compile("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_H264_BASELINE: Final = re.compile(r"42[0-9a-f]0(?:0[abcd]|1[456ef]|20|2[89a]|3[234])")

_PATTERNS: Final = {
    name: re.compile(pattern, re.ASCII)
    for name, pattern in {
        "candidate": CANDIDATE.pattern,
        "extmap": r"\d{1,5}(?:/(?:sendrecv|sendonly|recvonly|inactive))? \S+",
        "fingerprint": r"\S+ [0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})*",
        "fmtp": r"\d{1,3} .+",
        "group": r"\S+(?: \S+)*",
        "ice-pwd": r"[!-~]{22,256}",
        "ice-ufrag": r"[!-~]{4,256}",
        "max-message-size": r"\d{1,19}",
        "mid": r"[!-~]{1,64}",
        "msid": r"\S+(?: \S+)?",
        "msid-semantic": r" ?\S+(?: \S+)* ?",
        "rtcp": r"\d{1,5}(?: IN IP[46] [^ ]+)?",
        "rtcp-fb": r"(?:\*|\d{1,3}) \S+(?: .+)?",
        "rtpmap": r"\d{1,3} [^ /]+/\d{1,6}(?:/\d{1,2})?",
        "sctp-port": r"\d{1,5}",
        "sctpmap": r"\d{1,5} .+",
        "setup": r"actpass|active|passive",
        "ssrc": r"\d{1,10} [^ :]+:.*",
        "ssrc-group": r"\S+(?: \d{1,10})*",
    }.items()
}


class BadCandidateError(PeerError):
    """A trickled candidate cannot be used."""

    code = "bad_candidate"
    hint = "Send candidates as RTCIceCandidate gives them; an empty one marks the end."


@dataclass(frozen=True, kw_only=True)
class CheckedOffer:
    """An offer that can be answered. `sdp` is what the engine gets; mids are in their order."""

    sdp: str
    kinds: tuple[str, ...]
    mids: tuple[str, ...]

    @property
    def has_data_channel(self) -> bool:
        """Whether the client opens one."""
        return "application" in self.kinds


@dataclass(kw_only=True)
class _Section:
    """The session part of an offer (`kind` is empty) or one of its media sections."""

    title: str
    kind: str = ""
    port: int = 0
    protocol: str = ""
    formats: tuple[str, ...] = ()
    lines: list[str] = field(default_factory=list)
    attributes: dict[str, list[str]] = field(default_factory=dict)

    def first(self, name: str) -> str | None:
        values = self.attributes.get(name)
        return values[0] if values else None

    def add(self, name: str, value: str = "") -> None:
        self.attributes.setdefault(name, []).append(value)
        self.lines.append(f"a={name}:{value}" if value else f"a={name}")

    def codecs(self) -> dict[int, str]:
        """Return name and rate of the offered payload types, in lower case."""
        codecs: dict[int, str] = {}
        for value in self.attributes.get("rtpmap", ()):
            payload_type, _, encoding = value.partition(" ")
            name, rate, *_ = encoding.split("/")
            codecs[int(payload_type)] = f"{name}/{rate}".lower()
        return {number: codecs[number] for number in codecs if str(number) in self.formats}

    def parameters(self) -> dict[int, dict[str, str]]:
        """Return the `a=fmtp` parameters of each payload type that has some."""
        parameters: dict[int, dict[str, str]] = {}
        for value in self.attributes.get("fmtp", ()):
            number, _, text = value.partition(" ")
            pairs = (each.partition("=") for each in text.split(";"))
            parameters[int(number)] = {name.strip(): value.strip() for name, _, value in pairs}
        return parameters


def parse_offer(sdp: str) -> CheckedOffer:
    """Check an offer, and fill in what a peer may leave out.

    Raises:
        BadOfferError: It cannot be answered; the sentence says which line or section, and why.
    """
    session, sections = _split(sdp)
    _check_bundle(session, sections)
    for section in sections:
        _complete(session, sections[0], section)
        _check_transport(session, section)
        if section.kind == "application":
            _check_data_channel(section)
        else:
            _check_media(section)
    if all(section.kind != "audio" for section in sections):
        raise BadOfferError("The offer has no audio section (m=audio).")
    lines = [line for part in (session, *sections) for line in part.lines]
    return CheckedOffer(
        sdp="\r\n".join(lines) + "\r\n",
        kinds=tuple(section.kind for section in sections),
        mids=tuple(section.attributes["mid"][0] for section in sections),
    )


def check_candidates(candidates: Sequence[IceCandidate]) -> None:
    """Check trickled candidates for form and size; where they belong is the engine's matter.

    Raises:
        BadCandidateError: One cannot be used, or there are too many at once.
    """
    if len(candidates) > MAX_CANDIDATES:
        raise BadCandidateError(f"{len(candidates)} candidates at once, limit {MAX_CANDIDATES}.")
    for number, each in enumerate(candidates):
        text = each.candidate.strip().removeprefix("a=").removeprefix("candidate:")
        if len(text) > MAX_CANDIDATE_LENGTH or (text and not CANDIDATE.fullmatch(text)):
            raise BadCandidateError(f"Candidate {number} is not as RFC 8839 §5.1 has it.")
        if each.sdp_mid and not (len(each.sdp_mid) <= MAX_MID_LENGTH and each.sdp_mid.isascii()):
            raise BadCandidateError(f"The sdp_mid of candidate {number} is no mid.")
        if each.sdp_mline_index and not 0 <= each.sdp_mline_index <= MAX_LINE_INDEX:
            raise BadCandidateError(f"The sdp_mline_index of candidate {number} is out of range.")


def _split(sdp: str) -> tuple[_Section, list[_Section]]:
    """Cut an offer into its parts; the form of each line is checked on the way."""
    session = part = _Section(title="The session part")
    sections: list[_Section] = []
    for number, line in enumerate(_lines(sdp), start=1):
        if line.startswith("m="):
            part = _media_section(line, number, title=f"Section {len(sections)}")
            sections.append(part)
        elif line[1:2] != "=" or not "a" <= line[0] <= "z" or "\r" in line:
            raise _bad_line(number, line, "no SDP line")
        _add_line(part, line, number)
    if not sections:
        raise BadOfferError("The offer has no media sections.")
    if len(sections) > MAX_SECTIONS:
        raise BadOfferError(f"The offer has {len(sections)} media sections, limit {MAX_SECTIONS}.")
    if sum(section.kind == "application" for section in sections) > 1:
        raise BadOfferError("The offer has more than one data channel section (m=application).")
    return session, sections


def _lines(sdp: str) -> list[str]:
    if _UNPRINTABLE.search(sdp):
        raise BadOfferError("The SDP has control characters.")
    if (size := len(sdp.encode())) > MAX_SDP_BYTES:
        raise BadOfferError(f"The SDP has {size} bytes, limit {MAX_SDP_BYTES}.")
    # Only the newline ends a line; `splitlines()` knows others.
    lines = [line.removesuffix("\r") for line in sdp.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if not lines or lines[0] != "v=0":
        raise BadOfferError("The SDP does not begin with v=0.")
    return lines


def _media_section(line: str, number: int, *, title: str) -> _Section:
    found = _MEDIA.fullmatch(line, 2)
    if found is None:
        raise _bad_line(number, line, "not the media line of audio, video or data")
    kind, port, protocol, formats = found.groups()
    if kind == "application":
        is_served = protocol.endswith("DTLS/SCTP")
    else:
        is_served = protocol.endswith(("RTP/SAVPF", "RTP/SAVP"))
    if not is_served or int(port) > MAX_PORT:
        raise _bad_line(number, line, "not a media line of WebRTC")
    return _Section(
        title=title, kind=kind, port=int(port), protocol=protocol, formats=tuple(formats.split())
    )


def _add_line(part: _Section, line: str, number: int) -> None:
    part.lines.append(line)
    if line.startswith("v=") and number > 1:
        raise _bad_line(number, line, "a second version")
    if line.startswith("c=") and not _CONNECTION.fullmatch(line, 2):
        raise _bad_line(number, line, "no connection line")
    if not line.startswith("a="):
        return
    name, _, value = line[2:].partition(":")
    pattern = _PATTERNS.get(name)
    if pattern is not None and not pattern.fullmatch(value):
        raise _bad_line(number, line, f"not a valid {name} attribute")
    if name in SINGLE_ATTRIBUTES and name in part.attributes:
        raise _bad_line(number, line, f"a second {name} attribute")
    part.attributes.setdefault(name, []).append(value)


def _check_bundle(session: _Section, sections: list[_Section]) -> None:
    """Check that everything shares one transport (RFC 9143): the engine has no other way."""
    mids = [section.first("mid") for section in sections]
    if None in mids or len(set(mids)) < len(mids):
        raise BadOfferError("Every media section needs an a=mid of its own.")
    groups = [value.split() for value in session.attributes.get("group", ())]
    bundles = [members for semantic, *members in groups if semantic == "BUNDLE"]
    if len(sections) == 1 and not bundles:
        return
    if len(bundles) != 1 or sorted(bundles[0]) != sorted(str(mid) for mid in mids):
        raise BadOfferError("All media sections must be in one a=group:BUNDLE.")
    if bundles[0][0] != mids[0]:
        raise BadOfferError("The a=group:BUNDLE must begin with the first media section.")


def _complete(session: _Section, first: _Section, section: _Section) -> None:
    """Fill in what may be left out, and drop parameters of formats that are not described."""
    if "bundle-only" in section.attributes and section is not first:
        # RFC 9143 §7.1.3: such a section uses the transport of the first.
        for name in TRANSPORT_ATTRIBUTES - section.attributes.keys():
            for value in first.attributes.get(name, ()):
                section.add(name, value)
    if section.kind != "application" and not DIRECTIONS & section.attributes.keys():
        inherited = sorted(DIRECTIONS & session.attributes.keys())
        section.add(inherited[0] if inherited else "sendrecv")
    described = {value.split(" ", 1)[0] for value in section.attributes.get("rtpmap", ())}
    for number, codec in STATIC_CODECS.items():
        if section.kind == "audio" and str(number) in {*section.formats} - described:
            section.add("rtpmap", f"{number} {codec}")
            described.add(str(number))
    section.lines = [
        line
        for line in section.lines
        if not line.startswith("a=fmtp:") or line[7:].split(" ", 1)[0] in described
    ]


def _check_transport(session: _Section, section: _Section) -> None:
    """Check what ICE and DTLS need, in the section itself or in the session part."""
    if section.port == 0 and "bundle-only" not in section.attributes:
        raise BadOfferError(f"{section.title} (m={section.kind}) is switched off (port 0).")
    for name in sorted(TRANSPORT_ATTRIBUTES - session.attributes.keys()):
        if name not in section.attributes:
            raise BadOfferError(f"{section.title} (m={section.kind}) has no a={name}.")
    fingerprints = session.attributes.get("fingerprint", []) + section.attributes.get(
        "fingerprint", []
    )
    for fingerprint in fingerprints:
        algorithm, _, value = fingerprint.partition(" ")
        if value.count(":") + 1 == STRONG_HASHES.get(algorithm.lower()):
            return
    raise BadOfferError(
        f"{section.title} (m={section.kind}) has no fingerprint of {', '.join(STRONG_HASHES)}."
    )


def _check_data_channel(section: _Section) -> None:
    """Check what SCTP needs (RFC 8841, and the older form that some peers still write)."""
    is_older_form = section.protocol == "DTLS/SCTP"
    port = section.formats[0] if is_older_form else section.first("sctp-port")
    if port is None or not _NUMBER.fullmatch(port) or not 0 < int(port) <= MAX_PORT:
        raise BadOfferError(f"{section.title} (m=application) has no SCTP port.")


def _check_media(section: _Section) -> None:
    """Check that the section offers a codec that can be answered."""
    for payload_type in section.formats:
        if not _NUMBER.fullmatch(payload_type) or not _is_payload_type(int(payload_type)):
            raise BadOfferError(f"{section.title} has an impossible format {payload_type[:20]!r}.")
    if "rtcp-mux" not in section.attributes:
        raise BadOfferError(f"{section.title} (m={section.kind}) has no a=rtcp-mux.")
    for name in ("rtpmap", "fmtp"):
        described = [int(value.split(" ", 1)[0]) for value in section.attributes.get(name, ())]
        if len(set(described)) < len(described):
            raise BadOfferError(f"{section.title} describes a format twice (a={name}).")
    parameters = section.parameters()
    for pairs in parameters.values():
        for name in NUMERIC_PARAMETERS & pairs.keys():
            if not _NUMBER.fullmatch(pairs[name]):
                raise BadOfferError(f"{section.title}: {name} in a=fmtp is no number.")
    if not any(
        _is_usable(section.kind, number, codec, parameters.get(number, {}))
        for number, codec in section.codecs().items()
    ):
        wanted = "opus, PCMU or PCMA" if section.kind == "audio" else "VP8 or baseline H264"
        raise BadOfferError(f"{section.title} (m={section.kind}) offers none of {wanted}.")


def _is_payload_type(number: int) -> bool:
    return number < DYNAMIC_PAYLOAD_TYPES.stop and number not in RTCP_PAYLOAD_TYPES


def _is_usable(kind: str, payload_type: int, codec: str, parameters: Mapping[str, str]) -> bool:
    if kind == "audio" and codec in AUDIO_CODECS:
        return payload_type in DYNAMIC_PAYLOAD_TYPES or payload_type == AUDIO_CODECS[codec]
    if kind == "video" and codec == "h264/90000":
        profile = parameters.get("profile-level-id", "42e01f").lower()
        return parameters.get("packetization-mode") == "1" and bool(_H264_BASELINE.match(profile))
    return kind == "video" and codec == "vp8/90000"


def _bad_line(number: int, line: str, problem: str) -> BadOfferError:
    return BadOfferError(f"Line {number} of the SDP is {problem}: {line[:60]!r}.")
