"""How much of what has no confirmed flow may come to the agent: one source for both dataplanes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How much of one kind may come to the agent.

    Attributes:
        rate: Packets a second.
        burst: Packets at once; 0: none ever.
    """

    rate: float
    burst: int


CLOSED = RateLimit(rate=1, burst=0)
# Media of clients without a flow. When one ends, its client's own goodbye may still be under way;
# where flows can be recovered, one packet of a client's 50 a second is enough.
_ENDED, _RECOVERED = RateLimit(500, 100), RateLimit(4_000, 800)


@dataclass(frozen=True, slots=True)
class Rates:
    """How much may come to the agent of what has no confirmed flow.

    The kernel's program and the session table have the same, in the order of `enum rate_limited` in
    bpf/relay.h. All processors share each. A check is a Binding request with a valid route, of an
    unknown client or to another transceiver than its flow's.

    What a ufrag has used up, its checks can still have a share of `stun_repeated`, and of nothing
    else: so whoever repeats one that they have seen takes from nobody but its session. What passes
    there counts neither for the prefix of its source, which may be false, nor for all.

    Attributes:
        stun_routed: Checks of all ufrags: the agent sets up some 15,000 sessions a second.
        stun_repeated: Checks of all ufrags together that have used up what each may have.
        stun_answer: STUN from transceivers.
        unknown_client: Media of clients without a flow.
        unknown_transceiver: Media of transceivers without a flow.
        wrapped: Datagrams in fragments or behind extension headers.
        stun_remote: Checks of clusters elsewhere, whose routes nobody here can verify: it is all
            that they pass, for whoever makes up routes could choose whose other bucket to empty.
        ufrag: Checks of one ufrag in each of its two buckets, so twice as many in all. Chromium
            checks 21 times a second until it is answered.
        prefix: Checks from one IPv4 address or one /64 of IPv6: a quarter of all. Behind one of a
            company or a carrier there are thousands of people, a call of whom takes one to five,
            and somebody who measures a relay has one address, too.
        network: Checks from one /48 of IPv6, or from an edge.
    """

    stun_routed: RateLimit = RateLimit(20_000, 4_000)
    stun_repeated: RateLimit = RateLimit(1_000, 50)
    stun_answer: RateLimit = RateLimit(20_000, 4_000)
    unknown_client: RateLimit = _ENDED
    unknown_transceiver: RateLimit = RateLimit(500, 100)
    wrapped: RateLimit = RateLimit(1_000, 200)
    stun_remote: RateLimit = RateLimit(2_000, 500)
    ufrag: RateLimit = RateLimit(25, 25)
    prefix: RateLimit = RateLimit(5_000, 10_000)
    network: RateLimit = RateLimit(20_000, 40_000)

    @classmethod
    def of(cls, setups: int, per_prefix: int, per_ufrag: int, *, recovers: bool = True) -> "Rates":
        """Rates as an operator gives them.

        Args:
            setups: Checks a second in all; one in twenty more may be repeated ones, and one in ten
                more of clusters elsewhere.
            per_prefix: From one IPv4 address or one /64; a /48 has four times as much.
            per_ufrag: Of one ufrag.
            recovers: Whether a client without a flow can get back the one that it had elsewhere.
        """
        checks = RateLimit(setups, _burst(setups, 0.2))
        repeated, remote = max(1, setups // 20), max(1, setups // 10)
        return cls(
            stun_routed=checks,
            stun_repeated=RateLimit(repeated, _burst(repeated, 0.05)),
            stun_answer=checks,
            unknown_client=_RECOVERED if recovers else _ENDED,
            stun_remote=RateLimit(remote, _burst(remote, 0.25)),
            ufrag=RateLimit(per_ufrag / 2, -(-per_ufrag // 2)),
            prefix=RateLimit(per_prefix, 2 * per_prefix),
            network=RateLimit(4 * per_prefix, 8 * per_prefix),
        )


def _burst(rate: int, seconds: float) -> int:
    return max(1, round(rate * seconds))
