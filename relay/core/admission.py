"""Which checks of unknown clients get to the session table: the gates of `Rates`, in userspace.

bpf/request.bpf.c has the same for what comes through the kernel's program. A session table that is
behind it decides once more, which refuses next to nothing.
"""

from array import array
from collections.abc import Callable

from relay.core.rates import RateLimit, Rates
from relay.wire.endpoint import V4_MAPPED
from relay.wire.route import TAG, Route

BUCKETS = 1 << 14  # of all ufrags, and of all prefixes, as in bpf/relay.h; a power of two


class Admission:
    """Refuses checks, by reason, beyond the rates.

    Args:
        rates: The rates.
        mix: Makes a number of bytes that nobody outside can foresee; each process has its own.
    """

    def __init__(self, rates: Rates, mix: Callable[[bytes], int] = hash) -> None:
        self._mix = mix
        self._all = _Buckets(rates.stun_routed, 1)
        self._repeated = _Buckets(rates.stun_repeated, 1)
        self._remote = _Buckets(rates.stun_remote, 1)
        self._ufrags = _Buckets(rates.ufrag, BUCKETS)
        self._prefixes = _Buckets(rates.prefix, BUCKETS)
        self._networks = _Buckets(rates.network, BUCKETS)

    def refusal(self, route: Route, client: bytes, now: float) -> str | None:
        """Why a check comes too soon, as it is counted; None if it may pass.

        Args:
            route: Its route, verified.
            client: Its client's address, packed, as an edge says it where there is one.
            now: Monotonic seconds.
        """
        if not self._admit_ufrag(route.raw[TAG], now):
            return None if self._repeated.take(0, now) else "stun_ufrag_limited"
        if not self._admit_prefix(client, now):
            return "stun_prefix_limited"
        return None if self._all.take(0, now) else "stun_routed_limited"

    def refusal_elsewhere(self, now: float) -> str | None:
        """The same of one whose cluster is elsewhere, so that nobody here has verified its route.

        Args:
            now: Monotonic seconds.
        """
        return None if self._remote.take(0, now) else "stun_remote_limited"

    def _admit_ufrag(self, tag: bytes, now: float) -> bool:
        # Some of all buckets are empty while ufrags are repeated, but hardly ever both of another
        # one. A tag is as random as a hash, and nobody can choose it.
        first, second = (int.from_bytes(part, "big") for part in (tag[:4], tag[4:]))
        return self._ufrags.take(first, now) or self._ufrags.take(second, now)

    def _admit_prefix(self, client: bytes, now: float) -> bool:
        if client.startswith(V4_MAPPED):
            return self._prefixes.take(self._mix(client[:16]), now)
        return self._prefixes.take(self._mix(client[:8]), now) and self._networks.take(
            self._mix(client[:6]), now
        )


class _Buckets:
    """Token buckets of one rate, chosen by number.

    Each is the moment at which it is full, if nothing more is taken.
    """

    def __init__(self, limit: RateLimit, count: int) -> None:
        self._cost = 1 / limit.rate
        self._burst = limit.burst / limit.rate
        self._full_at = array("d", bytes(8 * count))

    def take(self, number: int, now: float) -> bool:
        """Whether one more may pass."""
        index = number & len(self._full_at) - 1
        full_at = max(self._full_at[index], now) + self._cost
        if full_at > now + self._burst + _ROUNDING:
            return False
        self._full_at[index] = full_at
        return True


_ROUNDING = 1e-6  # seconds: far less than what any packet costs
