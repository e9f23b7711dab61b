"""What a client's STUN says, and whether it may open a flow."""

import pytest

from relay.core import clientstun
from relay.wire import stun
from relay.wire.keys import KeyRing
from tests.relay.conftest import FIRST, Scene

PORT = 40_000
INDICATION = stun.Message(stun.MessageClass.INDICATION, stun.BINDING, bytes(12)).serialize()
NAMELESS = stun.Message(stun.MessageClass.REQUEST, stun.BINDING, bytes(12)).serialize()


def test_a_request_says_its_route_whoever_signed_it(scene: Scene) -> None:
    stranger = Scene(keys=KeyRing({0: bytes(32)}, 0))
    for signer, refusal in ((scene, None), (stranger, "bad_route")):
        data = signer.request()
        said = clientstun.read(data)
        assert said.route is not None
        assert (said.route.target, said.transaction_id) == (FIRST, data[8:20])
        assert said.refusal(PORT, scene.keys) == refusal


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        (b"\x00", "malformed_stun"),
        (INDICATION, "unknown_source"),
        (NAMELESS, "malformed_stun"),
        (Scene().request("nobody"), "bad_route"),
    ],
    ids=["cut off", "indication", "nameless", "no route"],
)
def test_nothing_else_has_a_route_or_opens_a_flow(data: bytes, refusal: str, scene: Scene) -> None:
    said = clientstun.read(data)
    assert said.route is None
    assert said.refusal(PORT, scene.keys) == refusal


def test_who_cannot_be_answered_opens_nothing(scene: Scene) -> None:
    assert clientstun.read(scene.request()).refusal(0, scene.keys) == "zero_port"
