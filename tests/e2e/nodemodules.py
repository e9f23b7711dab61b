"""The packages of npm that examples and tests need, and scripts beside them."""

from pathlib import Path

from tests.lab.clients.kinds import BUILT

MODULES = BUILT / "examples" / "node_modules"  # `make setup-test` puts them there
#: Runs a script that is linked to: what it imports is then beside the link.
NODE = ("node", "--preserve-symlinks", "--preserve-symlinks-main")


def link(directory: Path, scripts: Path, modules: Path = MODULES) -> None:
    """Make a directory in which links to the scripts are beside the packages."""
    for file in scripts.iterdir():
        (directory / file.name).symlink_to(file)
    (directory / "node_modules").symlink_to(modules)
