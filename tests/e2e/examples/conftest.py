"""What the examples are run against, and how."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.nodemodules import MODULES, NODE, link
from tests.e2e.serving import Served, serving
from tests.e2e.spoken import said, silence, write

EXAMPLES = Path(__file__).parent.parent.parent.parent / "docs" / "examples"
LIMIT = 90.0  # seconds
AFTERWARDS = 8.0  # seconds of silence after a question, longer than any answer


@pytest.fixture(scope="session")
def question(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Asks for the time, as WAV."""
    path = tmp_path_factory.mktemp("question") / "question.wav"
    write(path, said("What time is it?") + silence(AFTERWARDS))
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`icelane up` over HTTP."""
    with serving(tmp_path_factory.mktemp("state"), tls=False) as served:
        yield served


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`icelane up` over HTTPS."""
    with serving(tmp_path_factory.mktemp("state"), tls=True) as served:
        yield served


@dataclass(frozen=True, slots=True)
class Example:
    """Runs examples, with their environment as their users have it."""

    node: Path

    def start(self, served: Served, *command: str) -> "subprocess.Popen[str]":
        """Start a program of the examples' folder."""
        certificate = {"NODE_EXTRA_CA_CERTS": str(served.certificate)}
        return subprocess.Popen(
            command,
            cwd=EXAMPLES,
            env=os.environ | {"OPENAI_BASE_URL": served.url} | certificate,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, served: Served, *command: str) -> list[str]:
        """What a program prints, by lines; it must end well."""
        process = self.start(served, *command)
        try:
            output, errors = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
        assert process.returncode == 0, errors
        return output.splitlines()

    def python(self, served: Served, script: str, *arguments: str) -> list[str]:
        """The same of a script in Python."""
        return self.run(served, sys.executable, script, *arguments)

    def javascript(self, served: Served, script: str, *arguments: str) -> list[str]:
        """The same of a script for Node."""
        if not MODULES.exists():
            pytest.skip("needs the packages of npm: `make setup-test`")
        return self.run(served, *NODE, str(self.node / script), *arguments)


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    """What runs them."""
    node = tmp_path_factory.mktemp("node")
    link(node, EXAMPLES / "node")
    return Example(node)
