"""The cluster's keys by slot: which one signs, and which verify.

Keys rotate by slot: a relay verifies with every slot that holds a key, and new routes are signed
with one of them. A new key is first given to every relay, then made the signing one; the old one
leaves when the longest expiry of its routes has passed (QUIC-LB rotates configurations this way).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol, Self

from relay.wire.errors import KeyFileError
from relay.wire.keysource import (
    SLOTS,
    ClusterKeys,
    KeySource,
    Masters,
    Purpose,
    Role,
    new_master,
)


class AnnouncementKeys(Protocol):
    """Keys of what relays and those behind them say of clients."""

    def announcement_keys(self, cluster: int, slot: int) -> Sequence[bytes]:
        """See `KeyRing`: the first signs, and any verifies. None for a cluster without a key."""

    def goodbye_key(self, cluster: int, slot: int) -> bytes:
        """The 16-byte key of goodbyes. Raises KeyError for a slot, or a cluster, without a key."""


class KeyRing:
    """The keys in use. All parts of a process hold the same ring, which `take` renews.

    Args:
        source: Where keys come from; a mapping is one of 32-byte master keys by slot.
        signing_slot: The slot that signs new routes; it must hold a key.

    Attributes:
        signing_slot: The slot that signs now.
        slots: The slots that hold a key.

    Raises:
        KeyFileError: A slot or a key has a wrong size, or the signing slot holds no key.
    """

    def __init__(self, source: Mapping[int, bytes] | KeySource, signing_slot: int) -> None:
        self._source: KeySource = Masters(dict(source)) if isinstance(source, Mapping) else source
        if signing_slot not in self._source.slots:
            raise KeyFileError(f"signing key slot {signing_slot} holds no key")
        self.signing_slot = signing_slot
        self.slots = self._source.slots
        self._derive = lru_cache(maxsize=1024)(self._source.derive)

    def __reduce__(self) -> tuple[type[Self], tuple[KeySource, int]]:
        """What another process makes the same ring of: see `relay.handover`."""
        return type(self), (self._source, self.signing_slot)

    @classmethod
    def generate(cls, randbytes: Callable[[int], bytes]) -> Self:
        """A ring with one new key; pass `secrets.token_bytes`."""
        return cls(Masters({0: new_master(randbytes)}, new_master(randbytes)), signing_slot=0)

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
        source = ClusterKeys.of(document) if "cluster" in document else Masters.of(document)
        return cls(source, signing)

    def dumps(self) -> str:
        """The ring as TOML text for a key file. It is secret."""
        whose = "master keys" if self.masters else "keys of one cluster"
        routes = self.cluster is None or Purpose.ROUTE in self.cluster.role.purposes
        what = "routes" if routes else "what is signed with them"
        lines = [f"# Icelane {whose}, by slot. Secret: whoever has this can forge {what}."]
        lines += [f"signing = {self.signing_slot}", *self._source.lines()]
        return "\n".join(lines) + "\n"

    @property
    def masters(self) -> Masters | None:
        """The master keys; None where there are only those of one cluster."""
        return self._source if isinstance(self._source, Masters) else None

    @property
    def cluster(self) -> ClusterKeys | None:
        """The keys of one cluster; None where there are master keys."""
        return self._source if isinstance(self._source, ClusterKeys) else None

    def copy(self) -> "KeyRing":
        """Another ring with the same keys."""
        return KeyRing(self._source, self.signing_slot)

    def take(self, newer: "KeyRing") -> None:
        """Use the keys of another ring in place of these, from now on, wherever this one is."""
        self._source, self._derive = newer._source, newer._derive  # noqa: SLF001  # a ring, too
        self.slots, self.signing_slot = newer.slots, newer.signing_slot

    def require(self, role: Role, clusters: Iterable[int]) -> None:
        """Make sure that a service has all its keys.

        Raises:
            KeyFileError: Some are not here.
        """
        own = self.cluster
        if own is None:
            return
        if strange := sorted(set(clusters) - {own.cluster}):
            raise KeyFileError(
                f"it has the keys of cluster {own.cluster} only, and those of "
                f"{', '.join(map(str, strange))} are needed, too: see `icelane keys export`"
            )
        if not set(role.purposes) <= set(own.role.purposes):
            raise KeyFileError(
                f"it has the keys of {own.role.named}, and {role.named} needs others: export them "
                f"with `icelane keys export --for {role}`"
            )

    def require_only(self, role: Role) -> None:
        """Make sure that a service has no keys but its own.

        Raises:
            KeyFileError: There are others.
        """
        if self.cluster is None or self.cluster.role is not role:
            raise KeyFileError(
                f"{role.named} must not have these keys: where the master keys are, export its own "
                f"with `icelane keys export --for {role}`"
            )

    def exported(self, cluster: int, role: Role) -> "KeyRing":
        """What a service of one cluster needs of this ring.

        Raises:
            KeyFileError: This ring has less.
        """
        self.require(role, [cluster])
        return KeyRing(ClusterKeys.derived(self._source, cluster, role), self.signing_slot)

    # Of rotation. Each gives another ring and needs master keys.

    def added(self, randbytes: Callable[[int], bytes]) -> tuple["KeyRing", int]:
        """With a new key that verifies and does not sign yet, and its slot.

        Raises:
            KeyFileError: All slots hold a key, or there are no master keys.
        """
        masters = self._masters()
        # A slot that has become free rests as long as can be: routes of flows may still name it.
        in_turn = [*SLOTS[self.signing_slot + 1 :], *SLOTS]
        free = next((slot for slot in in_turn if slot not in masters.by_slot), None)
        if free is None:
            raise KeyFileError("all slots hold a key: retire one with `icelane keys retire`")
        keys = {**masters.by_slot, free: new_master(randbytes)}
        return KeyRing(Masters(keys, masters.spreading, masters.stopped), self.signing_slot), free

    def rotated(self, slot: int | None, now: float) -> "KeyRing":
        """With another slot that signs, at Unix time `now`; None is the one that has never signed.

        Raises:
            KeyFileError: That slot holds no key, or signs already, or it is not clear which.
        """
        masters = self._masters()
        stopped = dict(masters.stopped or {})
        if slot is None:
            fresh = sorted(self.slots - {self.signing_slot} - set(stopped))
            if len(fresh) != 1:
                raise KeyFileError(
                    f"slots {', '.join(map(str, fresh))} have never signed: name one with --slot"
                    if fresh
                    else "there is no new key to sign with: make one with `icelane keys add`"
                )
            slot = fresh[0]
        if slot == self.signing_slot:
            raise KeyFileError(f"slot {slot} signs already")
        stopped[self.signing_slot] = int(now)
        stopped.pop(slot, None)
        return KeyRing(Masters(masters.by_slot, masters.spreading, stopped), slot)

    def retired(self, slot: int) -> "KeyRing":
        """Without the key of a slot.

        Raises:
            KeyFileError: The slot holds none, or signs.
        """
        masters = self._masters()
        if slot not in masters.by_slot:
            raise KeyFileError(f"slot {slot} holds no key")
        if slot == self.signing_slot:
            raise KeyFileError(f"slot {slot} signs: let another one with `icelane keys rotate`")
        keys = {each: key for each, key in masters.by_slot.items() if each != slot}
        stopped = {each: when for each, when in (masters.stopped or {}).items() if each != slot}
        return KeyRing(Masters(keys, masters.spreading, stopped), self.signing_slot)

    def _masters(self) -> Masters:
        if self.masters is None:
            raise KeyFileError("it has the keys of one cluster: change the file of master keys")
        return self.masters

    # The keys. Each raises KeyError for a slot, or a cluster, without a key.

    def route_key(self, cluster: int, slot: int) -> bytes:
        """The 16-byte key of route tags."""
        return self._derive(Purpose.ROUTE, cluster, slot)

    def goodbye_key(self, cluster: int, slot: int) -> bytes:
        """The 16-byte key of goodbyes, questions and answers: that of announcements."""
        return self._derive(Purpose.ANNOUNCEMENT, cluster, slot)

    def edge_key(self, cluster: int, slot: int) -> bytes:
        """The 16-byte key of goodbyes to edges: that of what they say of clients."""
        return self._derive(Purpose.EDGE, cluster, slot)

    def registry_key(self, cluster: int, slot: int) -> bytes:
        """The 16-byte key of registry entries."""
        return self._derive(Purpose.REGISTRY, cluster, slot)

    def home(self, clusters: Iterable[int]) -> int:
        """Of the clusters that a relay serves, the one whose keys serve for what is of all."""
        return min(clusters, default=0) if self.cluster is None else self.cluster.cluster

    def port_key(self, cluster: int) -> bytes:
        """The 16-byte key that spreads flows over upstream ports; rotation moves none."""
        return self._source.spread(Purpose.PORT, cluster)

    def shard_seed(self, cluster: int) -> int:
        """The 32-bit number that distributes clients among workers; rotation moves none."""
        return int.from_bytes(self._source.spread(Purpose.SHARE, cluster)[:4], "big")

    # Flows outlive the keys of their routes. What is said of a flow is signed with the first of
    # these: its route's own key or, where that has left, the one that signs. Any of them verifies,
    # as not everybody retires a key at the same moment. There are none for a cluster of which this
    # ring has no keys.

    def announcement_keys(self, cluster: int, slot: int) -> Sequence[bytes]:
        """The 16-byte keys of the announcements of a flow whose route has this cluster and slot."""
        return self._of_flow(Purpose.ANNOUNCEMENT, cluster, slot)

    def edge_keys(self, cluster: int, slot: int) -> Sequence[bytes]:
        """The 16-byte keys of what edges say of the client of a flow whose route has these."""
        return self._of_flow(Purpose.EDGE, cluster, slot)

    def mirror_keys(self, cluster: int, slot: int) -> Sequence[bytes]:
        """The 16-byte keys of the mirrored record of a flow whose route has these.

        They are the relay's own, also where the route is of a cluster elsewhere.
        """
        own = self.cluster
        return self._of_flow(Purpose.MIRROR, cluster if own is None else own.cluster, slot)

    def _of_flow(self, purpose: Purpose, cluster: int, slot: int) -> Sequence[bytes]:
        preferred = slot if slot in self.slots else self.signing_slot
        others = sorted(self.slots - {preferred})
        try:
            return [self._derive(purpose, cluster, each) for each in (preferred, *others)]
        except KeyError:
            return []
