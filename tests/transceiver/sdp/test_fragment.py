import pytest

from relay.wire.transport import Transport
from tests.transceiver.sdp.samples import (
    AUDIO,
    DATA,
    GROUP,
    LOCAL,
    OFFER,
    SESSION,
    VIDEO,
    answer,
)
from transceiver.plan import Credentials
from transceiver.sdp import fragment_of, restarted

NEW = Credentials("serverNEW", "n" * 24)


@pytest.mark.parametrize(
    ("transport", "candidate"),
    [
        (Transport.UDP, "0 1 udp 2130706431 203.0.113.10 3478 typ host"),
        (Transport.TCP, "2 1 tcp 2124414463 203.0.113.10 443 typ host tcptype passive"),
    ],
)
def test_a_fragment_has_the_ice_of_the_answer_and_nothing_else(
    transport: Transport, candidate: str
) -> None:
    assert fragment_of(answer(OFFER), transport).splitlines() == [
        "a=ice-lite",
        "a=group:BUNDLE 0 1",
        "m=audio 3478 UDP/TLS/RTP/SAVPF 111",
        "a=mid:0",
        "a=ice-ufrag:server0",
        f"a=ice-pwd:{LOCAL.credentials[0].password}",
        f"a=candidate:{candidate}",
        "a=end-of-candidates",
    ]


def test_a_fragment_is_of_the_first_section_in_use() -> None:
    offer = SESSION + GROUP.replace("0 1", "2 0 1") + VIDEO + AUDIO + DATA
    told = fragment_of(answer(offer), Transport.UDP)
    assert [line for line in told.splitlines() if line.startswith(("m=", "a=mid"))] == [
        "m=audio 3478 UDP/TLS/RTP/SAVPF 111",
        "a=mid:0",
    ]


def test_a_restart_changes_the_credentials_of_one_transport_in_all_its_sections() -> None:
    before = answer(OFFER)
    after = restarted(before, LOCAL.credentials[0], NEW)
    assert after.count("a=ice-ufrag:serverNEW\r\n") == after.count("a=ice-pwd:" + "n" * 24) == 2
    back = restarted(after, NEW, LOCAL.credentials[0])
    assert back == before
    apart = answer(SESSION + AUDIO + DATA)
    changed = restarted(apart, LOCAL.credentials[1], NEW)
    assert [line for line in changed.splitlines() if "ufrag" in line] == [
        "a=ice-ufrag:server0",
        "a=ice-ufrag:serverNEW",
    ]
