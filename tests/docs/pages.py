"""The pages and files that are made of the code, by where they are."""

from collections.abc import Callable
from pathlib import Path

from tests.docs import commandline, configuration, maplayouts, wireformats
from tests.metrics import dashboards, reference

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
COMMAND = "make reference"

PAGES: dict[Path, Callable[[], str]] = {
    DOCS / "cli.md": commandline.text,
    DOCS / "configuration.md": configuration.text,
    DOCS / "maps.md": maplayouts.text,
    DOCS / "wire.md": wireformats.text,
    reference.PATH: reference.text,
}


def texts() -> dict[Path, str]:
    """Each as it is to be."""
    return {path: make() for path, make in PAGES.items()} | dashboards.texts()
