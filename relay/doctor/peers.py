"""Whether those answer on whom a relay depends, and agree on the time. Pure."""

import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from relay.clocks import LEEWAY, WRONG, ClockWatch, far
from relay.doctor.finding import Finding, Verdict

_GONE = "start it, or correct its address in the registry, or the route to it"
_HANGS = "it hangs: restart it (or continue it, if somebody has stopped its process)"
_NOTICED = 30.0  # seconds; NTP keeps a clock within a fraction of one
_NTP = "let NTP set it: timedatectl set-ntp true, or chrony"


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of asking somebody.

    Attributes:
        name: Who it is.
        trouble: Why it cannot be used, in words; None where it can.
        says: What was learnt, in words.
        ahead: How many seconds this machine's clock is ahead of its; None where it does not tell.
        mtu: How large packets are that the way there carries whole, in bytes; None where nobody
            tells.
        hangs: Whether it is there, and does nothing.
    """

    name: str
    trouble: str | None
    says: str = ""
    ahead: float | None = None
    mtu: int | None = None
    hangs: bool = False


def redis(asked: Asked) -> Finding:
    """Whether the mirror and the registry can be used."""
    if asked.trouble is None:
        return Finding.ok("redis", asked.says)
    return Finding(
        "redis",
        Verdict.FAIL,
        f"{asked.name}: {asked.trouble}",
        "correct --redis, or what keeps Redis from it; calls go on without, and do not survive "
        "the loss of this host",
    )


def transceivers(asked: Sequence[Asked], *, searched: bool) -> Iterator[Finding]:
    """Whether the transceivers of the registry can be reached.

    Args:
        asked: What came of each.
        searched: Whether all places could be looked at where some might be.
    """
    if not asked and searched:
        yield Finding(
            "transceivers",
            Verdict.WARN,
            "the registry has none: no client can be routed",
            "start one (icelane transceiver run), or write [[transceiver]] into the registry file",
        )
    for each in asked:
        name = f"transceiver {each.name}"
        if each.trouble is None:
            yield Finding.ok(name, each.says)
        else:
            yield Finding(
                name,
                Verdict.FAIL,
                each.trouble,
                _HANGS if each.hangs else _GONE,
            )


def clock(synchronised: bool | None, asked: Sequence[Asked]) -> Iterator[Finding]:
    """Whether this machine's clock is right, by its kernel and by others.

    Args:
        synchronised: Whether the kernel knows that something sets it; None where it does not tell.
        asked: Who tells the time, among them.
    """
    watch = ClockWatch()
    heard = [each for each in asked if each.ahead is not None]
    for each in heard:
        watch.hear(each.name, each.ahead or 0.0, 0.0)
    if news := next(watch.news(0.0), None):
        wrong = watch.verdict(0.0).is_wrong
        fix = f"{_NTP}; routes and records of a wrong clock are refused"
        verdict = Verdict.FAIL if wrong else Verdict.WARN
        yield Finding("clock", verdict, news.partition(", and ")[0].partition(": ")[0], fix)
    elif heard and abs((worst := max(heard, key=_distance)).ahead or 0.0) > _NOTICED:
        says = f"this machine's clock is {far(worst.ahead or 0.0)} of that of {worst.name}"
        most = f"{LEEWAY / 60:.0f} minutes"
        fix = f"{_NTP}; clocks may be {most} off, and what machines with worse ones sign is refused"
        yield Finding("clock", Verdict.WARN, says, fix)
    elif synchronised is False:
        yield Finding("clock", Verdict.WARN, "nothing sets this machine's clock", _NTP)
    elif synchronised is None and not heard:
        yield Finding.unknown("clock", "neither the kernel nor anybody else tells whether it is")
    else:
        known = ["set by NTP"] if synchronised else []
        known += [f"within {WRONG:.0f} s of {len(heard)} others"] if heard else []
        yield Finding.ok("clock", " and ".join(known))


def _distance(asked: Asked) -> float:
    return abs(asked.ahead or 0.0)


def files(
    modes: Mapping[Path, int | str], secret: Path | None, shared: str | None
) -> Iterator[Finding]:
    """Whether the relay's files can be read, and the key file by nobody else.

    Args:
        modes: By path: the mode of the file, or why it cannot be read, in words.
        secret: The key file.
        shared: That others can use it, in words; None where nobody can.
    """
    for path, mode in modes.items():
        name = "keys" if path == secret else "registry"
        if isinstance(mode, str):
            yield Finding.told(name, Verdict.FAIL, f"cannot read {path}: {mode}")
        elif path == secret and shared is not None:
            yield Finding.told(name, Verdict.FAIL, shared)
        elif mode & (stat.S_IWOTH | stat.S_IWGRP):
            says = f"others can write {path} ({mode & 0o777:04o}), and send calls elsewhere by it"
            yield Finding(name, Verdict.WARN, says, f"chmod go-w {path}")
        else:
            yield Finding.ok(name, f"{path} can be read, mode {mode & 0o777:04o}")
