"""How much anybody may do in a time. Free of IO: the time is an argument."""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from signaling.auth.apikeys import Quota
from signaling.errors import QuotaError

#: Failures a second, and at once, that one client may make before it is not listened to.
CLIENT_FAILURES, CLIENT_BURST = 20.0, 200.0
#: The same of all clients: beyond it, not of those who have failed lately.
ALL_FAILURES, ALL_BURST = 100.0, 1000.0
#: Clients whose failures are remembered; the one that failed the longest ago is forgotten first.
MAX_CLIENTS = 10_000


class TokenBucket:
    """Lets something happen at a rate, and so often at once after a pause.

    Args:
        rate: How often a second.
        burst: How often at once, from 1 on.
        now: Seconds of a monotonic clock.
    """

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now

    def take(self, now: float) -> None:
        """Note that it has happened, also where it should have waited: then it owes nothing."""
        self._fill(now)
        self._tokens = max(0.0, self._tokens - 1.0)

    def wait(self, now: float) -> float:
        """Seconds until it may happen; 0 if it may now."""
        self._fill(now)
        return max(0.0, (1.0 - self._tokens) / self._rate)

    def is_full(self, now: float) -> bool:
        """Whether it has not happened lately."""
        self._fill(now)
        return self._tokens >= self._burst

    def _fill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = max(self._at, now)


class _Rates:
    """How often principals do a thing.

    Args:
        what: May be done so often a second, in words.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._buckets: dict[str, tuple[float, TokenBucket]] = {}  # with the rate of the quota

    def take(self, principal: str, rate: float | None, now: float) -> None:
        """Count it, if it may be done now at a rate; None for any."""
        if rate is None:
            self._buckets.pop(principal, None)
            return
        before, bucket = self._buckets.get(principal, (None, None))
        if bucket is None or before != rate:
            bucket = TokenBucket(rate, max(1.0, rate), now)
            self._buckets[principal] = rate, bucket
        if wait := bucket.wait(now):
            raise QuotaError("rate_limit_exceeded", f"{rate:g} {self._what} a second", wait)
        bucket.take(now)


class Quotas:
    """What principals have done, held against their quotas."""

    def __init__(self) -> None:
        self._requests = _Rates("requests may be made")
        self._setups = _Rates("calls may be begun")
        self._placing: Counter[str] = Counter()

    def ask(self, principal: str, quota: Quota, now: float) -> None:
        """Count a request, whatever it is for.

        Args:
            principal: Who asks.
            quota: His quota.
            now: Seconds of a monotonic clock.

        Raises:
            QuotaError: He has asked too often lately.
        """
        self._requests.take(principal, quota.requests, now)

    def begin(self, principal: str, quota: Quota, now: float) -> None:
        """Count a set-up that is asked for now.

        Args:
            principal: Who asks.
            quota: His quota.
            now: Seconds of a monotonic clock.

        Raises:
            QuotaError: He has asked too often lately.
        """
        self._setups.take(principal, quota.setups, now)

    @contextmanager
    def placing(self, principal: str) -> Iterator[None]:
        """Count a call while it is placed; from then on its transceiver counts it."""
        self._placing[principal] += 1
        try:
            yield
        finally:
            self._placing[principal] -= 1
            if not self._placing[principal]:
                del self._placing[principal]

    def require_room(self, principal: str, quota: Quota, calls: int) -> None:
        """Make sure that a call that is being placed is within the quota.

        Args:
            principal: Whose call it is.
            quota: His quota.
            calls: How many calls he has, as transceivers count them.

        Raises:
            QuotaError: He has as many as he may.
        """
        if quota.calls is not None and calls + self._placing[principal] > quota.calls:
            raise QuotaError(
                "too_many_calls", f"{quota.calls} calls may be had at a time: end one first", 1.0
            )


class Failures:
    """Requests that were refused, by client: who only fails is not listened to for a while.

    It is for who has no key: nobody can spoil it for a principal, whatever he shares with others.
    """

    def __init__(self, now: float) -> None:
        self._all = TokenBucket(ALL_FAILURES, ALL_BURST, now)
        self._clients: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._clients)

    def note(self, client: str, now: float) -> None:
        """Note that a request of a client was refused."""
        self._all.take(now)
        bucket = self._clients.pop(client, None) or TokenBucket(CLIENT_FAILURES, CLIENT_BURST, now)
        bucket.take(now)
        self._clients[client] = bucket
        if len(self._clients) > MAX_CLIENTS:
            self._clients.popitem(last=False)

    def wait(self, client: str, now: float) -> float:
        """Seconds for which a client is not listened to; 0 if it is."""
        bucket = self._clients.get(client)
        if bucket is None:
            return 0.0
        if bucket.is_full(now):
            del self._clients[client]
            return 0.0
        return max(bucket.wait(now), self._all.wait(now))
