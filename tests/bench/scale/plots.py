"""The pictures of the page."""

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from tests.bench.scale.figures import Figures
from tests.bench.scale.latency import DIRECT, GLOBAL
from tests.bench.scale.load import Load
from tests.bench.scale.run import AIM

_WIDTH, _HEIGHT = 8.0, 3.2  # inches


def draw(figures: Figures, directory: Path) -> None:
    """Draw all as SVG; the same figures give the same files."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, kind in PICTURES.items():
        with mpl.rc_context({"svg.hashsalt": name, "font.size": 8}):
            picture = Picture(figsize=(_WIDTH, _HEIGHT), layout="constrained")
            kind(picture, figures)
            picture.savefig(directory / f"{name}.svg", format="svg", metadata={"Date": None})


def _relays(picture: Picture, figures: Figures) -> None:
    left, right = picture.subplots(1, 2)
    _by_hour(left, figures.day, "flows of the fullest relay", lambda each: each.flows)
    _by_hour(right, figures.day, "cores that forward there", lambda each: each.cores)
    right.legend(fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5))


def _redis(picture: Picture, figures: Figures) -> None:
    left, right = picture.subplots(1, 2)
    _by_hour(left, figures.day, "requests a second", lambda each: each.requests)
    _by_hour(right, figures.day, "MB of records", lambda each: each.megabytes)
    right.legend(fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5))


def _silence(picture: Picture, figures: Figures) -> None:
    axes = picture.subplots()
    relays = [each.relays for each in figures.sweep]
    for label, values in (
        ("median", [each.p50 for each in figures.sweep]),
        ("p99", [each.p99 for each in figures.sweep]),
        ("p99 without a mirror", [each.unmirrored for each in figures.sweep]),
    ):
        axes.plot(relays, values, marker=".", label=label)
    axes.axhline(AIM, color="black", linewidth=0.7, linestyle="--", label="aim for p99")
    axes.set(xscale="log", yscale="log", xlabel="relays for the same calls")
    axes.set_xticks(relays, [str(each) for each in relays])
    axes.minorticks_off()
    axes.set_ylabel("silence when one dies (s)")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=7)


def _latency(picture: Picture, figures: Figures) -> None:
    panels = picture.subplots(1, 2, sharey=True)
    titles = ("all there", f"without {_largest(figures)}")
    for axes, rows, title in zip(panels, (figures.latency, figures.detour), titles, strict=True):
        regions = list(dict.fromkeys(each.region for each in rows))
        for place, through in enumerate((DIRECT, GLOBAL)):
            found = {each.region: each for each in rows if each.through == through}
            at = [row + 0.4 * place for row in range(len(regions))]
            p50 = [found[each].p50 for each in regions]
            beyond = [found[each].p95 - found[each].p50 for each in regions]
            none = [0.0] * len(at)
            axes.barh(
                at, p50, 0.4, xerr=(none, beyond), label=f"by {through}", error_kw={"lw": 0.7}
            )
        axes.set_yticks([row + 0.2 for row in range(len(regions))], regions)
        axes.set(title=title, xlabel="ms to the first sound: median, and p95")
    panels[0].invert_yaxis()
    panels[1].legend(fontsize=7)


def _largest(figures: Figures) -> str:
    return figures.cluster.region


def _by_hour(axes: Axes, loads: Sequence[Load], label: str, value: Callable[[Load], float]) -> None:
    for region in dict.fromkeys(each.region for each in loads):
        own = [each for each in loads if each.region == region]
        axes.plot([each.hour for each in own], [value(each) for each in own], label=region)
    axes.set(xlabel="hour of the day, UTC", ylabel=label)
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)


PICTURES: dict[str, Callable[[Picture, Figures], None]] = {
    "relays": _relays,
    "redis": _redis,
    "silence": _silence,
    "latency": _latency,
}
