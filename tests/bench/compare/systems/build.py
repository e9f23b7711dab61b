"""Building of the relays that were written for the comparison, once for each state of a source."""

import hashlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.lab.errors import LabError

HERE = Path(__file__).parent


def built(name: str, sources: Sequence[Path], command: Sequence[str], directory: Path) -> Path:
    """The program that a command makes of sources, made now or earlier.

    Args:
        name: The program's name.
        sources: All files that it is made of.
        command: The compiler's command line, to which the program's path is appended.
        directory: Where the command runs.

    Raises:
        LabError: It does not compile; the text holds what the compiler said.
    """
    digest = hashlib.sha256("\0".join(command).encode())
    for source in sorted(sources):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    cache = _cache()
    program = cache / f"{name}-{digest.hexdigest()[:16]}"
    if program.exists():
        return program
    cache.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=cache) as made:
        fresh = Path(made, name)
        _run([*command, str(fresh)], directory, {"GOCACHE": str(Path(made, "go"))})
        fresh.rename(program)  # in one step: another run may be building it, too
    return program


def _run(command: Sequence[str], directory: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        command,
        cwd=directory,
        env=os.environ | environment,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise LabError(f"{command[0]} failed:\n{done.stderr.strip()}")


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "icelane")
