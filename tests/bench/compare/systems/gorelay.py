"""A relay in Go, written for the comparison: gorelay/."""

from pathlib import Path

from tests.bench.compare.systems.build import HERE, built
from tests.bench.compare.systems.ownrelay import OwnRelay

_SOURCES = HERE / "gorelay"
_COMMAND = (
    # A user's own settings could have it look for modules or another compiler.
    *("env", "GO111MODULE=on", "GOFLAGS=", "GOPROXY=off", "GOWORK=off"),
    *("go", "build", "-buildvcs=false", "-o"),
)


def build() -> Path:
    """Compile it.

    Raises:
        LabError: It does not compile.
    """
    sources = [*_SOURCES.glob("*.go"), _SOURCES / "go.mod"]
    return built("gorelay", sources, _COMMAND, _SOURCES)


GO_RELAY = OwnRelay("Go relay", "go", "golang-go", build)
