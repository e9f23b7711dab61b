"""Routes to the testbed's transceiver, for the systems that read them from the ufrag."""

import secrets
import time

from relay.wire.keys import KeyRing
from relay.wire.route import NONCE_SIZE, Route, Target, mint

TARGET = Target(cluster=1, slot=1, generation=1)

_LIFETIME_SECONDS = 3600.0


def new_route(keys: KeyRing) -> Route:
    """The route of one more session."""
    nonce = secrets.token_bytes(NONCE_SIZE)
    return mint(TARGET, keys, now=time.time(), lifetime=_LIFETIME_SECONDS, nonce=nonce)
