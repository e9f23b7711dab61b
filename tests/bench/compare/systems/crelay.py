"""A relay in C, written for the comparison: crelay.c."""

from pathlib import Path

from tests.bench.compare.systems.build import HERE, built
from tests.bench.compare.systems.ownrelay import OwnRelay

_COMMAND = ("gcc", "-O2", "-Wall", "-Wextra", "crelay.c", "-o")


def build() -> Path:
    """Compile it.

    Raises:
        LabError: It does not compile.
    """
    return built("crelay", list(HERE.glob("crelay*.[ch]")), _COMMAND, HERE)


C_RELAY = OwnRelay("C relay", "gcc", "gcc libc6-dev", build)
