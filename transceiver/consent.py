"""Consent of clients that do not check (RFC 7675); pure.

A client's checks show that it wants what it is sent. libnice, and so GStreamer, sends none after
the first ones, and Pion none while it hears something: both heard nothing after 30 s. So a client
that has not checked for a while is asked, as a full agent would ask, with a Binding request of
ours: whoever answers has the client's password, and receives what is sent there.
"""

from collections import OrderedDict

from relay.wire.endpoint import Endpoint
from relay.wire.errors import IntegrityError
from relay.wire.stun import BINDING, Attribute, Message, MessageClass, verify_integrity
from transceiver.path import Path
from transceiver.plan import Credentials

CONSENT_LIFETIME = 30.0  # seconds (section 5.1)
ASK_AFTER = 10.0  # seconds without a check; clients that check do so every 2.5 to 6 s
ASK_EVERY = 5.0  # seconds (section 5.1)
_OUTSTANDING = 16  # requests that may still be answered, more than a consent's life has
# Of a peer-reflexive candidate (RFC 8445, section 5.1.2.1).
_PRIORITY = (110 << 24 | 65_535 << 8 | 255).to_bytes(4, "big")
# A client that believes to be controlled, too, has the greater one, and becomes the controlling one
# (section 7.3.1.1), as it must be before a lite agent.
_TIE_BREAKER = bytes(8)


def consents(path: Path, now: float) -> bool:
    """Whether anything may be sent on a path."""
    return now - path.checked < CONSENT_LIFETIME


class Asker:
    """What a client was asked, and whether it answers.

    Args:
        client: The client's credentials.
    """

    def __init__(self, client: Credentials) -> None:
        self._client = client
        self._asked: OrderedDict[bytes, Endpoint] = OrderedDict()
        self._last = float("-inf")
        self._answers = False

    def is_due(self, path: Path, now: float) -> bool:
        """Whether it is time to ask on a path.

        Not where consent is lost. But who has answered before, and is heard, was cut off: by a
        relay that was away for longer than a consent lives, for instance.
        """
        if now - path.checked < ASK_AFTER or now - self._last < ASK_EVERY:
            return False
        return consents(path, now) or (self._answers and now - path.heard < ASK_EVERY)

    def ask(self, ours: str, address: Endpoint, now: float, transaction_id: bytes) -> bytes:
        """The request.

        Args:
            ours: Our ufrag.
            address: Where it is sent to.
            now: Seconds of a monotonic clock.
            transaction_id: 12 bytes that nobody can guess.
        """
        self._last = now
        self._asked[transaction_id] = address
        if len(self._asked) > _OUTSTANDING:
            self._asked.popitem(last=False)
        attributes = (
            (Attribute.USERNAME, f"{self._client.ufrag}:{ours}".encode()),
            (Attribute.PRIORITY, _PRIORITY),
            (Attribute.ICE_CONTROLLED, _TIE_BREAKER),
        )
        request = Message(MessageClass.REQUEST, BINDING, transaction_id, attributes)
        return request.serialize(self._client.password.encode())

    def is_answer(self, message: Message, data: bytes, source: Endpoint) -> bool:
        """Whether a message answers a request, from where that was sent; each counts once."""
        if message.message_class is not MessageClass.SUCCESS or message.method != BINDING:
            return False
        if self._asked.get(message.transaction_id) != source:
            return False
        try:
            verify_integrity(data, self._client.password.encode())
        except IntegrityError:
            return False
        del self._asked[message.transaction_id]
        self._answers = True
        return True
