"""What aiortc's association stands on."""

import asyncio

import pytest

from transceiver.plan import DtlsRole
from transceiver.underaiortc import Below, Timers, run


@pytest.mark.parametrize(
    ("role", "name"), [(DtlsRole.CLIENT, "client"), (DtlsRole.SERVER, "server")]
)
def test_a_packet_is_sent_at_once_and_the_role_is_told(role: DtlsRole, name: str) -> None:
    sent: list[bytes] = []
    below = Below(role, sent.append)
    run(below._send_data(b"packet"))
    assert (sent, below._role, below.state) == ([b"packet"], name, "connected")


def test_a_coroutine_that_waits_is_told_apart() -> None:
    with pytest.raises(RuntimeError, match="waits for something"):
        run(asyncio.sleep(0))


def test_what_a_coroutine_raises_is_raised() -> None:
    async def breaks() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(breaks())


async def test_what_a_timer_raises_is_told() -> None:
    told: list[Exception] = []
    rang = asyncio.Event()
    timers = Timers(told.append)

    def ring(*said: int) -> None:
        rang.set()
        raise ValueError(*said)

    timers.call_later(0.0, ring, 7)
    timers.call_later(0.0, ring).cancel()
    async with asyncio.timeout(5):
        await rang.wait()
    await asyncio.sleep(0)
    (error,) = told
    assert error.args == (7,)
