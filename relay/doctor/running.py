"""What the relay that runs tells of itself: is it full, or ill? Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from relay.doctor.finding import Finding, Verdict

_NEARLY = 0.9  # of the room
#: What has room in a relay, as its agent calls it, and what gives it more.
_ROOM = {
    "flows": ("confirmed flows", "raise --max-flows and --ports and restart, or add a relay"),
    "ports": ("upstream ports", "give it more with --ports, or add an --upstream"),
}


def running(told: Mapping[str, Any]) -> Iterator[Finding]:
    """What an operator should know of a relay that runs.

    Args:
        told: Its agent's answer to the admin command `overview`.
    """
    for name, (what, fix) in _ROOM.items():
        used, most = int(told["used"].get(name, 0)), int(told["limits"].get(name, 0))
        says = f"{used:,} of {most:,} {what}"
        if most and used >= most:
            yield Finding(f"relay {name}", Verdict.WARN, f"{says}: full, new clients get none", fix)
        elif most and used > _NEARLY * most:
            yield Finding(f"relay {name}", Verdict.WARN, f"{says}: nearly full", fix)
        elif most:
            yield Finding.ok(f"relay {name}", f"{says} are in use")
    if told.get("trouble"):
        yield Finding.told("relay dataplane", Verdict.WARN, str(told["trouble"]))
    if failing := sorted(n for n, task in told["tasks"].items() if task["state"] == "failing"):
        yield Finding(
            "relay tasks",
            Verdict.WARN,
            f"{', '.join(failing)} fails: {told['tasks'][failing[0]]['error']}",
            "mend what its log names; it tries again by itself",
        )
    elif not told["ready"]:
        yield Finding(
            "relay ready",
            Verdict.WARN,
            "it wants no new clients: it starts or drains, or its clock is wrong",
            "icelane relay drain --end, unless that is meant",
        )
