"""A reader of answers that shares nothing with the code: RFC 3264's rules, and aiortc's parser."""

import re

import aiortc.sdp

SESSION_ATTRIBUTES = {"ice-lite", "group"}
ATTRIBUTES = {
    *("mid", "ice-ufrag", "ice-pwd", "fingerprint", "setup", "candidate", "end-of-candidates"),
    *("rtcp-mux", "rtcp-rsize", "extmap", "sendrecv", "sendonly", "recvonly", "inactive"),
    *("rtpmap", "fmtp", "rtcp-fb", "msid", "ssrc"),
    *("sctp-port", "sctpmap", "max-message-size", "sctp-init"),
}
MAY_SEND = {"sendrecv", "sendonly"}
MAY_RECEIVE = {"sendrecv", "recvonly"}
DIRECTIONS = MAY_SEND | MAY_RECEIVE | {"inactive"}
AIORTC_PROTOCOL = re.compile(r"[A-Z/]+")
LINE = re.compile(r"[a-z]=[ -~]+")


def check(offer: str, answer: str) -> None:
    """Hold an answer against the offer that it answers."""
    lines = answer.split("\r\n")
    assert lines[0] == "v=0"
    assert lines.pop() == ""
    assert all(LINE.fullmatch(line) for line in lines)
    asked = _blocks(offer.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    told = _blocks(lines)
    assert len(asked) == len(told), "as many sections as the offer"
    assert _names(told[0]) <= SESSION_ATTRIBUTES
    mids = set()
    for theirs, ours in zip(asked[1:], told[1:], strict=True):
        _check_section(theirs, ours)
        if ours[0].split()[1] != "0":
            mids |= {line for line in ours if line.startswith("a=mid:")}
    for group in (line for line in told[0] if line.startswith("a=group:BUNDLE")):
        assert {f"a=mid:{mid}" for mid in group.split()[1:]} <= mids, "bundled and accepted"
    _check_with_aiortc([told[0], *(block for block in told[1:] if block[0].split()[1] != "0")])


def _check_section(theirs: list[str], ours: list[str]) -> None:
    kind, _, protocol, *formats = theirs[0].removeprefix("m=").split()
    our_kind, port, our_protocol, *our_formats = ours[0].removeprefix("m=").split()
    assert (our_kind, our_protocol) == (kind, protocol)
    assert _values(ours, "mid") == _values(theirs, "mid")[:1]
    assert _names(ours) <= ATTRIBUTES, "nothing that we do not know"
    assert len(DIRECTIONS & _names(ours)) == (
        0 if "SCTP" in protocol.upper() and port != "0" else 1
    )
    if port == "0":
        return
    if our_kind == "audio":
        assert our_formats
        offered = {each.lstrip("0") or "0" for each in formats}  # 08 is 8, if anybody writes it so
        assert set(our_formats) <= offered, "payload types of the offer"
        direction = next(iter(DIRECTIONS & _names(ours)))
        asked = next(iter(DIRECTIONS & _names(theirs)), "sendrecv")
        if len(DIRECTIONS & _names(theirs)) == 1:
            assert direction not in MAY_SEND or asked in MAY_RECEIVE
            assert direction not in MAY_RECEIVE or asked in MAY_SEND
        for name in ("rtpmap", "fmtp", "rtcp-fb"):
            assert {value.split()[0] for value in _values(ours, name)} <= set(our_formats)
        assert {value.split()[0] for value in _values(ours, "rtpmap")} == set(our_formats)
    for name in ("ice-ufrag", "ice-pwd", "fingerprint", "setup"):
        assert len(_values(ours, name)) == 1
    assert _values(ours, "setup")[0] in ("active", "passive")


def _check_with_aiortc(blocks: list[list[str]]) -> None:
    """Read the accepted sections, if aiortc knows their spelling."""
    media = [block[0].split() for block in blocks[1:]]
    if not all(AIORTC_PROTOCOL.fullmatch(words[2]) for words in media) or any(
        words[2].endswith("SCTP") and words[3].isdecimal() for words in media
    ):
        return
    text = "".join(f"{line}\r\n" for block in blocks for line in block)
    parsed = aiortc.sdp.SessionDescription.parse(text)
    assert len(parsed.media) == len(media)
    for section in parsed.media:
        assert section.ice is not None
        assert section.ice.usernameFragment
        assert section.dtls is not None
        assert section.dtls.fingerprints[0].algorithm == "sha-256"
        assert section.ice_candidates_complete
        assert len(section.ice_candidates) > 0
        assert section.kind == "application" or section.rtp.codecs


def _blocks(lines: list[str]) -> list[list[str]]:
    blocks: list[list[str]] = [[]]
    for line in lines:
        if line.startswith("m="):
            blocks.append([])
        blocks[-1].append(line.rstrip())
    return blocks


def _names(block: list[str]) -> set[str]:
    return {line[2:].split(":")[0].strip().lower() for line in block if line.startswith("a=")}


def _values(block: list[str], name: str) -> list[str]:
    start = f"a={name}:"
    return [line[len(start) :].strip() for line in block if line.lower().startswith(start)]
