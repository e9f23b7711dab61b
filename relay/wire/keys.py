"""The cluster's keys: one master key per slot, from which every key in use is derived.

Keys rotate by slot: a relay verifies with every slot that holds a key, and new routes are signed
with one of them. A new key is first given to every relay, then made the signing one; the old one
leaves when the longest expiry of its routes has passed (QUIC-LB rotates configurations this way).
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Self

from relay.wire.errors import KeyFileError
from relay.wire.siphash import KEY_SIZE

MASTER_SIZE = 32
UNROUTABLE_SLOT = 7  # three bits name a slot; this value says that there is no route
SLOTS = range(UNROUTABLE_SLOT)


class KeyRing:
    """Master keys by slot, and the keys derived from them.

    Args:
        masters: The 32-byte master key of each slot in use, slots 0 to 6.
        signing_slot: The slot that signs new routes; it must hold a key.

    Attributes:
        slots: The slots that hold a key.

    Raises:
        KeyFileError: A slot or a key has a wrong size, or the signing slot holds no key.
    """

    def __init__(self, masters: Mapping[int, bytes], signing_slot: int) -> None:
        for slot, master in masters.items():
            if slot not in SLOTS:
                raise KeyFileError(f"key slot {slot} does not exist: use 0 to {SLOTS[-1]}")
            if len(master) != MASTER_SIZE:
                raise KeyFileError(f"key {slot} has {len(master)} bytes: it needs {MASTER_SIZE}")
        if signing_slot not in masters:
            raise KeyFileError(f"signing key slot {signing_slot} holds no key")
        self._masters = dict(masters)
        self.slots = frozenset(masters)
        self.signing_slot = signing_slot
        self._derive = lru_cache(maxsize=1024)(self._derive_uncached)

    @classmethod
    def generate(cls, randbytes: Callable[[int], bytes]) -> Self:
        """A ring with one new key; pass `secrets.token_bytes`."""
        return cls({0: randbytes(MASTER_SIZE)}, signing_slot=0)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Take the document of a key file, as `dumps` writes it.

        Raises:
            KeyFileError: It is none; the message says where.
        """
        signing, keys = document.get("signing"), document.get("keys")
        # To Python, TOML's true and false are numbers, too.
        if type(signing) is not int or not isinstance(keys, dict):
            raise KeyFileError(
                "a key file has `signing = SLOT` and a table [keys]; "
                "make one with `icelane keys new`"
            )
        masters = {}
        for name, value in keys.items():
            # One spelling, or "0" and "00" would be two keys of one slot.
            if not re.fullmatch("0|[1-9][0-9]?", name):
                raise KeyFileError(f"{name!r} is no key slot: use 0 to {SLOTS[-1]}")
            try:
                masters[int(name)] = bytes.fromhex(value)
            except (TypeError, ValueError):
                raise KeyFileError(f"key {name} is not a text of hex digits") from None
        return cls(masters, signing)

    def dumps(self) -> str:
        """The ring as TOML text for a key file. It is secret."""
        lines = ["# Icelane master keys, by slot. Secret: whoever has this can forge routes."]
        lines += [f"signing = {self.signing_slot}", "", "[keys]"]
        lines += [f'{slot} = "{master.hex()}"' for slot, master in sorted(self._masters.items())]
        return "\n".join(lines) + "\n"

    def route_key(self, cluster: int, slot: int) -> bytes:
        """The 16-byte key of route tags. Raises KeyError for a slot without a key."""
        return self._derive(b"route", cluster, slot)

    def announcement_key(self, cluster: int, slot: int) -> bytes:
        """The 16-byte key of announcement tags. Raises KeyError for a slot without a key."""
        return self._derive(b"announcement", cluster, slot)

    def mirror_key(self, cluster: int, slot: int) -> bytes:
        """The 16-byte key of mirrored records. Raises KeyError for a slot without a key."""
        return self._derive(b"mirror", cluster, slot)

    def port_key(self, cluster: int) -> bytes:
        """The 16-byte key that spreads flows over upstream ports.

        It comes from the lowest slot, so that choosing another signing key moves no port.
        """
        return self._derive(b"port", cluster, min(self._masters))

    def shard_seed(self, cluster: int) -> int:
        """The 32-bit number that distributes clients among workers.

        It comes from the lowest slot, so that choosing another signing key moves no client.
        """
        return int.from_bytes(self._derive(b"share", cluster, min(self._masters))[:4], "big")

    def _derive_uncached(self, purpose: bytes, cluster: int, slot: int) -> bytes:
        # HKDF-Expand (RFC 5869, section 2.3) with one block: the masters are uniformly random.
        info = b"icelane " + purpose + cluster.to_bytes(2, "big") + bytes([slot])
        return hmac.new(self._masters[slot], info + b"\x01", hashlib.sha256).digest()[:KEY_SIZE]
