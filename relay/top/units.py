"""Numbers for people, in few columns. Pure."""

from collections.abc import Sequence

_PREFIXES = ("", "k", "M", "G", "T", "P")
_BARS, _ASCII_BARS = "▁▂▃▄▅▆▇█", "_.-=+*#@"


def short(number: float) -> str:
    """A number in at most five characters, such as ``0``, ``12.3``, ``950``, ``1.23M``."""
    step = 0
    while abs(number) >= 999.5 and step < len(_PREFIXES) - 1:
        number /= 1000
        step += 1
    text = f"{number:.0f}" if abs(number) >= 99.95 or number == int(number) else f"{number:.1f}"
    return f"{text}{_PREFIXES[step]}"


def duration(seconds: float | None) -> str:
    """A time in at most six characters: ``0.3s``, ``42s``, ``5m03s``, ``2h14m``, ``3d04h``."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3600:02}h"


def sparkline(numbers: Sequence[float], width: int, *, ascii_only: bool = False) -> str:
    """The last numbers as bars, of which the highest stands for the largest of them."""
    bars = _ASCII_BARS if ascii_only else _BARS
    shown = list(numbers)[-width:] if width > 0 else []
    most = max(shown, default=0.0)
    steps = [min(len(bars) - 1, int(len(bars) * each / most)) if most > 0 else 0 for each in shown]
    return "".join(bars[step] for step in steps).rjust(width)
