"""What counts as lost."""

from array import array

from tests.soak.account import Account, Fault, Outage, Way, settle


def way(*arrivals: int) -> Way:
    """A way of a packet each second from 0 on, which arrived so often."""
    return Way(array("d", map(float, range(len(arrivals)))), bytearray(arrivals))


def test_all_is_well() -> None:
    assert settle([(0, "there", way(1, 1, 1))], []) == Account(sent=3)


def test_lost_packets_are_excused_while_there_was_an_outage() -> None:
    outage = Outage(0.5, 2.0, "link down")
    account = settle([(7, "there", way(1, 0, 0, 0, 1)), (8, "back", way(0, 1))], [outage])
    assert account == Account(
        sent=7, excused=2, lost=[Fault(0.0, 8, "back"), Fault(3.0, 7, "there")]
    )


def test_packets_that_come_twice_or_are_of_another_flow() -> None:
    twice = way(1, 3)
    twice.receive(2, 9.0)
    twice.refuse("damaged", 8.0)
    strange = [
        Fault(8.0, 0, "there", "damaged"),
        Fault(9.0, 0, "there", "a packet that was not sent"),
    ]
    assert settle([(0, "there", twice)], []) == Account(sent=2, duplicated=2, strange=strange)


def test_what_is_sent_is_numbered_and_counted() -> None:
    one = Way()
    assert [one.send(0.0), one.send(1.0)] == [0, 1]
    one.receive(1, 2.0)
    assert one.arrived_since(1)
    assert not one.arrived_since(2)
    assert settle([(0, "there", one)], []).lost == [Fault(0.0, 0, "there")]
