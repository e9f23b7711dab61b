"""What is told of packets, and in sum."""

import time
from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from relay.admin.tracing import Missed, Summary, as_object, in_words, parse_client
from relay.dataplane.kernel.tracerecords import TraceRecord
from relay.errors import ConfigError
from relay.wire.endpoint import Endpoint

CLIENT = Endpoint("203.0.113.2", 40000)
FRAME = bytes(
    Ether()
    / IP(src="203.0.113.2", dst="203.0.113.10")
    / UDP(sport=40000, dport=3478)
    / Raw(b"\x80\x6f" + bytes(158))
)
RECORD = TraceRecord(
    5.25, CLIENT, False, "forward", "forwarded_to_transceiver", len(FRAME), FRAME[:126]
)


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "client"),
    [
        ("203.0.113.2", Endpoint("203.0.113.2", 0)),
        ("203.0.113.2:40000", CLIENT),
        ("::ffff:203.0.113.2", Endpoint("203.0.113.2", 0)),
        ("2001:DB8::2", Endpoint("2001:db8::2", 0)),
        ("[2001:db8::2]", Endpoint("2001:db8::2", 0)),
        ("[2001:db8::2]:40000", Endpoint("2001:db8::2", 40000)),
    ],
)
def test_a_client_is_an_address_or_one_with_its_port(text: str, client: Endpoint) -> None:
    assert parse_client(text) == client


@pytest.mark.parametrize(
    "text", ["", "example.org", "203.0.113.0/24", "203.0.113.2:0", "203.0.113.2:65536", "[::1"]
)
def test_anything_else_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ConfigError, match=r"CLIENT .*: write an address"):
        parse_client(text)


def test_a_packet_of_the_client() -> None:
    packet = as_object(RECORD, 1_800_000_000.0)
    assert packet == {
        "event": "packet",
        "time": 1_800_000_005.25,
        "direction": "in",
        "client": "203.0.113.2:40000",
        "source": "203.0.113.2:40000",
        "target": "203.0.113.10:3478",
        "kind": "RTP",
        "bytes": 160,
        "verdict": "forward",
        "reason": "forwarded_to_transceiver",
    }
    assert in_words(packet) == (
        "08:00:05.250000 in  203.0.113.2:40000 -> 203.0.113.10:3478  RTP               160 B  "
        "forward forwarded_to_transceiver"
    )


def test_a_packet_to_the_client() -> None:
    back = bytes(
        Ether()
        / IP(src="192.0.2.2", dst="192.0.2.1")
        / UDP(sport=5000, dport=20001)
        / Raw(b"\xc0\x01")
    )
    packet = as_object(RECORD._replace(to_client=True, frame=back, reason="control"), 0.0)
    assert (packet["source"], packet["direction"]) == ("192.0.2.2:5000", "out")
    assert in_words(packet) == (
        "00:00:05.250000 out 203.0.113.2:40000 <- 192.0.2.2:5000  control             2 B  "
        "forward control"
    )


def test_a_fragment_has_no_ports() -> None:
    part = bytes(
        Ether() / IP(src="203.0.113.2", dst="203.0.113.10", frag=9, proto=17) / Raw(bytes(64))
    )
    record = RECORD._replace(frame=part, client=CLIENT._replace(port=0), reason="fragment")
    packet = as_object(record, 0.0)
    assert (packet["kind"], packet["bytes"], packet["client"]) == ("fragment", 64, "203.0.113.2")


def test_of_what_nobody_can_read_the_frame_is_told() -> None:
    packet = as_object(RECORD._replace(frame=FRAME[:20], frame_length=20), 0.0)
    assert (packet["kind"], packet["bytes"], packet["source"]) == ("other", 20, None)
    assert "203.0.113.2:40000 -> ?  other" in in_words(packet)


COUNTS = {
    ("drop", "not_webrtc"): 3,
    ("forward", "forwarded_to_client"): 1200,
    ("pass", "control"): 3,
}


def test_the_summary_has_the_most_frequent_first() -> None:
    summary = Summary(CLIENT._replace(port=0), 10.04, COUNTS, 1_000, Missed(200, 6))
    assert list(summary.in_words(1_000)) == [
        "1,206 packets of 203.0.113.2 in 10.0 s",
        "    1,200  forward forwarded_to_client",
        "        3  drop    not_webrtc",
        "        3  pass    control",
        "206 packets are not shown: 200 beyond 1,000 a second, 6 came faster than they were read",
    ]
    told = summary.as_object()
    assert told.pop("reasons")[0] == {
        "reason": "forwarded_to_client",
        "verdict": "forward",
        "packets": 1200,
    }
    assert told == {
        "event": "summary",
        "client": "203.0.113.2",
        "seconds": 10.04,
        "packets": 1206,
        "shown": 1000,
        "limited": 200,
        "full": 6,
    }


def test_nothing_that_was_not_shown_is_not_told() -> None:
    summary = Summary(CLIENT, 1.0, {}, 0, Missed())
    assert list(summary.in_words(1_000)) == ["0 packets of 203.0.113.2:40000 in 1.0 s"]


def test_what_was_not_shown_since() -> None:
    assert Missed(5, 2).since(Missed(3, 2)) == Missed(2, 0)
    assert Missed(2, 0).in_words(1_000) == "2 packets are not shown: 2 beyond 1,000 a second"
