"""Our edits of SDP (RFC 8866): pure, text in, text out.

An offer is stripped of what the engine must not see: candidates hidden behind mDNS names (the
peer's own checks reveal the addresses at no cost; resolving them would), the end-of-candidates
mark (later candidates are welcome), and sections that cannot be answered. The latter come back
in the answer as rejected, so that order and mids stay those of the offer.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from offhook.errors import BadOfferError

LIMIT_CHARACTERS: Final = 256 * 1024
LIMIT_SECTIONS: Final = 32
USABLE_VIDEO: Final = frozenset({"vp8", "h264"})
USABLE_AUDIO: Final = frozenset({"opus", "pcmu", "pcma"})
STATIC_AUDIO: Final = {"0": "pcmu", "8": "pcma"}
NEW_LINE: Final = "\r\n"


@dataclass(frozen=True)
class PreparedOffer:
    """An offer that the engine can read, and what the answer must give back as rejected.

    Attributes:
        text: The offer without its unusable sections.
        rejected: Position in the offer of each section left out, with its `m=` and `a=mid` lines.
    """

    text: str
    rejected: dict[int, tuple[str, ...]]


def prepare_offer(text: str) -> PreparedOffer:
    """Check an offer and make it readable for the engine.

    Raises:
        BadOfferError: It is no offer, or holds no audio that we can speak.
    """
    if len(text) > LIMIT_CHARACTERS:
        raise BadOfferError("the offer is too long")
    lines = text.splitlines()
    if not lines or lines[0] != "v=0":
        raise BadOfferError("the offer is no SDP")
    session, sections = _split(lines)
    if len(sections) > LIMIT_SECTIONS:
        raise BadOfferError(f"{len(sections)} media sections are too many")
    kept, rejected = [], {}
    for index, section in enumerate(sections):
        if _is_usable(section):
            kept.append([line for line in section if not _is_unwanted(line)])
        else:
            rejected[index] = (section[0], *(_attributes(section, "mid:")[:1]))
    if not any(section[0].startswith("m=audio ") for section in kept):
        raise BadOfferError("the offer has no audio section with Opus, PCMU or PCMA")
    for section in kept:
        _check(session, section)
    left_out = {line.removeprefix("a=mid:") for lines in rejected.values() for line in lines[1:]}
    session = [_without(line, left_out) for line in session]
    whole = session + [line for section in kept for line in section]
    return PreparedOffer(NEW_LINE.join(whole) + NEW_LINE, rejected)


def complete_answer(answer: str, prepared: PreparedOffer) -> str:
    """Put the rejected sections back into the answer, each in its place (RFC 3264 §6)."""
    session, sections = _split(answer.splitlines())
    for index in sorted(prepared.rejected):
        media, *mid = prepared.rejected[index]
        kind, _port, protocol, formats = media.removeprefix("m=").split(" ", 3)
        section = [f"m={kind} 0 {protocol} {formats}", "c=IN IP4 0.0.0.0", "a=inactive", *mid]
        sections.insert(index, section)
    whole = session + [line for section in sections for line in section]
    return NEW_LINE.join(whole) + NEW_LINE


def _split(lines: list[str]) -> tuple[list[str], list[list[str]]]:
    session: list[str] = []
    sections: list[list[str]] = []
    for line in lines:
        if not line:
            continue
        if line.startswith("m="):
            sections.append([])
        (sections[-1] if sections else session).append(line)
    return session, sections


def _attributes(section: Collection[str], name: str) -> list[str]:
    return [line for line in section if line.startswith(f"a={name}")]


def _is_unwanted(line: str) -> bool:
    if line == "a=end-of-candidates":
        return True
    return line.startswith("a=candidate:") and not is_usable_candidate(line[2:])


def is_usable_candidate(candidate: str) -> bool:
    """Whether a candidate (RFC 8839 §5.1) has a plain UDP address."""
    fields = candidate.split()
    return (
        len(fields) >= 8  # noqa: PLR2004 -- up to the type
        and fields[1] == "1"
        and fields[2].lower() == "udp"
        and not fields[4].endswith(".local")
    )


def _is_usable(section: list[str]) -> bool:
    fields = section[0].removeprefix("m=").split()
    if len(fields) < 4:  # noqa: PLR2004 -- kind, port, protocol and at least one format
        return False
    kind, port, *_ = fields
    if port == "0" and "a=bundle-only" not in section:
        return False
    if kind == "application":
        return "webrtc-datachannel" in fields or bool(_attributes(section, "sctpmap:"))
    if kind == "audio":
        return bool(_codecs(section, fields[3:]) & USABLE_AUDIO)
    if kind == "video":
        return bool(_codecs(section, fields[3:]) & USABLE_VIDEO)
    return False


def _codecs(section: list[str], formats: list[str]) -> set[str]:
    names = {STATIC_AUDIO[number] for number in formats if number in STATIC_AUDIO}
    for line in _attributes(section, "rtpmap:"):
        _number, _, codec = line.partition(" ")
        names.add(codec.partition("/")[0].strip().lower())
    return names


def _check(session: list[str], section: list[str]) -> None:
    """Refuse what would only fail later, out of sight."""
    lines = session + section
    for name in ("ice-ufrag:", "ice-pwd:", "fingerprint:"):
        if not any(len(line) > len(name) + 2 for line in _attributes(lines, name)):
            raise BadOfferError(f"the offer lacks a={name.rstrip(':')}")
    if not _attributes(section, "mid:"):
        raise BadOfferError("the offer lacks a=mid")


def _without(line: str, mids: Collection[str]) -> str:
    if not mids or not line.startswith("a=group:BUNDLE"):
        return line
    return " ".join(item for item in line.split(" ") if item not in mids)
