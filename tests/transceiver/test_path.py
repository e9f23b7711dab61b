"""What an address may be sent, and whose it is."""

from relay.wire.endpoint import Endpoint
from relay.wire.transport import Transport
from transceiver.path import AMPLIFICATION, Announced, Path

CLIENT = Endpoint("203.0.113.99", 50000)


def test_it_gets_three_bytes_for_one_until_it_is_proven() -> None:
    path = Path(0.0, 0.0, 0, None, received=100)
    assert path.may_get(AMPLIFICATION * 100)
    assert not path.may_get(AMPLIFICATION * 100 + 1)
    path.sent = 250
    assert path.may_get(50)
    assert not path.may_get(51)
    path.proven = True
    assert path.may_get(1 << 20)


def test_it_is_of_the_client_that_a_relay_has_announced_by_address_and_transport() -> None:
    path = Path(0.0, 0.0, 0, Announced(CLIENT, 1.0))
    assert path.is_of(Announced(CLIENT, 2.0, epoch=7))
    assert not path.is_of(Announced(CLIENT, 1.0, Transport.TCP))
    assert not path.is_of(Announced(CLIENT._replace(port=1), 1.0))
    assert not path.is_of(None)
    assert not Path(0.0, 0.0, 0, None).is_of(Announced(CLIENT, 1.0))
