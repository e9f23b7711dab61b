"""The program that announces a relay while it is ready (docs/deploy/bird/follow_health.py)."""

import importlib.util
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType

import pytest

from tests.lab.fleet.routing import DOCUMENTED
from tests.ports import free_port


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("follow_health", DOCUMENTED / "follow_health.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def answering(status: int) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/readyz"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(("status", "ready"), [(200, True), (503, False), (404, None)])
def test_the_relays_own_word_counts(program: ModuleType, status: int, ready: bool | None) -> None:
    with answering(status) as url:
        assert program.health(url, 5.0) is ready


def test_a_relay_that_does_not_answer_has_said_nothing(program: ModuleType) -> None:
    assert program.health(f"http://127.0.0.1:{free_port()}/readyz", 0.5) is None


def test_silence_is_borne_for_a_while_and_a_no_is_not(program: ModuleType) -> None:
    decision = program.Decision(fall=3, rise=2)
    said = [True, True, None, None, True, None, None, None, None, True, True, False, True, True]
    told = [None, True, None, None, None, None, None, False, False, None, True, False, None, True]
    assert [decision.after(each) for each in said] == told


@pytest.mark.parametrize(
    ("answer", "worked"),
    [
        ("BIRD 2.0.12 ready.\nicelane: enabled", True),
        ("BIRD 2.0.12 ready.\nicelane: already enabled", True),
        ("BIRD 2.0.12 ready.\nsyntax error, unexpected CF_SYM_UNDEFINED", False),
        ("", False),
    ],
)
def test_birds_answer_is_understood(
    program: ModuleType, tmp_path: Path, answer: str, worked: bool
) -> None:
    birdc = tmp_path / "birdc"
    birdc.write_text(f"#!/bin/sh\nprintf '{answer}'\n", "utf-8")
    birdc.chmod(birdc.stat().st_mode | stat.S_IXUSR)
    assert program.tell([str(birdc)], "icelane", announce=True) is worked


def test_no_bird_is_said(
    program: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not program.tell([str(tmp_path / "none")], "icelane", announce=True)
    assert "birdc does not work" in capsys.readouterr().err
