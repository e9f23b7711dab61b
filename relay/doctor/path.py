"""Whether the ways to others carry packets of the size that WebRTC sends. Pure."""

from collections.abc import Iterator, Mapping

from relay.doctor.finding import Finding, Verdict
from relay.doctor.links import SMALLEST


def ways(mtus: Mapping[str, int | None]) -> Iterator[Finding]:
    """What is wrong with some ways.

    Args:
        mtus: The largest packet that a way carries whole, in bytes, by what is at its end; None
            where nobody tells.
    """
    for name, mtu in mtus.items():
        if mtu is not None and mtu < SMALLEST:
            yield Finding(
                f"{name} path",
                Verdict.WARN,
                f"carries packets of {mtu:,} bytes, and WebRTC needs {SMALLEST:,}: larger ones go "
                "in fragments, which many networks drop",
                "raise the MTU of the link or route that `tracepath -n` names (`ip route` shows "
                "`mtu` of routes); a tunnel wants a larger one below it",
            )
