"""Offers to build tests from: a small one and its parts, and what real clients write."""

from pathlib import Path

from relay.wire.endpoint import Endpoint
from relay.wire.transport import Candidate, Transport
from transceiver.plan import Credentials, Fingerprint, Plan
from transceiver.sdp import Local, read_offer

REAL = {
    path.stem: path.read_bytes().decode()
    for path in sorted((Path(__file__).parent / "offers").glob("*.sdp"))
}

SESSION = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
GROUP = "a=group:BUNDLE 0 1\r\n"
DIGEST = ":".join(["AB"] * 32)
ICE = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n"
DTLS = f"a=fingerprint:sha-256 {DIGEST}\r\na=setup:actpass\r\n"
TRANSPORT = ICE + DTLS
AUDIO = (
    "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n"
    + TRANSPORT
    + "a=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n"
)
DATA = (
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\n"
    + TRANSPORT
    + "a=sctp-port:5000\r\na=max-message-size:262144\r\n"
)
VIDEO = (
    "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\n"
    + TRANSPORT
    + "a=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\n"
)
OFFER = SESSION + GROUP + AUDIO + DATA

LOCAL = Local(
    credentials=tuple(Credentials(f"server{index}", f"{index}" * 24) for index in range(4)),
    candidates=(
        Candidate(Endpoint("203.0.113.10", 3478)),
        Candidate(Endpoint("2001:db8::10", 3478)),
        Candidate(Endpoint("203.0.113.10", 443), Transport.TCP),
    ),
    fingerprint=Fingerprint("sha-256", ":".join(["CD"] * 32)),
    session_id=42,
    version=1,
    ssrc=1234,
    cname="icelane",
    max_message_size=262144,
    sctp_init=bytes.fromhex("0100001411111111000100000100010022222222"),
)


def plan(text: str, previous: Plan | None = None) -> Plan:
    """What an offer comes to."""
    return read_offer(text).plan(previous)


def answer(text: str, previous: Plan | None = None) -> str:
    """The answer to it, with `LOCAL`."""
    offer = read_offer(text)
    return offer.answer(offer.plan(previous), LOCAL)


def without(text: str, *starts: str) -> str:
    """The text without the lines that begin so."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(starts))
