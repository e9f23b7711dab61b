"""What becomes of calls when what they go through is killed."""

import struct

import pytest

from tests.bench.alternatives.callpaths.restart import Heard, Restart
from tests.bench.compare.calls.calltestbed import DIRECT, CallPath
from tests.lab.errors import LabError

VIP, A, B = 3478, 40_000, 40_001  # ports
XDP = CallPath("icelane xdp", "xdp")


def audio(source: int, destination: int, number: int) -> bytes:
    ip = bytes([0x45]) + bytes(8) + b"\x11" + bytes(10)
    udp = struct.pack("!HHHH", source, destination, 20, 0)
    return (
        bytes(12)
        + b"\x08\x00"
        + ip
        + udp
        + struct.pack("!BBHII", 0x80, 111, number, 0, 5)
        + bytes(6)
    )


def test_what_calls_that_go_on_miss_is_told() -> None:
    heard, answered = Heard(), 0
    for number in range(100):
        heard.take(audio(A, VIP, number), 0.02 * number, outgoing=True)
        if number not in range(40, 50):  # of the others, there is no number that is left out
            heard.take(audio(VIP, A, answered), 0.02 * number, outgoing=False)
            answered += 1
        heard.take(audio(B, VIP, number), 0.02 * number, outgoing=True)
        if number < 50:
            heard.take(audio(VIP, B, number), 0.02 * number, outgoing=False)
    figures = heard.aftermath(ended=2.1)
    assert figures == pytest.approx({"alive_percent": 50, "lost": 9, "pause_ms": 220})


def test_where_no_call_goes_on_nothing_is_missed() -> None:
    heard = Heard()
    heard.take(audio(VIP, A, 1), 10.0, outgoing=False)
    assert heard.aftermath(ended=20.0) == {"alive_percent": 0}


def test_nothing_became_of_no_calls() -> None:
    with pytest.raises(LabError, match="No call"):
        Heard().aftermath(ended=20.0)


@pytest.mark.e2e
@pytest.mark.bpf
@pytest.mark.parametrize(("path", "alive"), [(XDP, 100), (DIRECT, 0)])
def test_calls_end_with_the_service_that_has_them(path: CallPath, alive: int) -> None:
    figures = {each.metric: each.value for each in Restart(path, calls=2, seconds=1.5).measure()}
    assert figures["alive_percent"] == alive
    assert figures["back_ms"] > 0
