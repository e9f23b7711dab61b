"""`icelane calls --server`: one's own calls, asked of a server with keys."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.cli.owncalls import row
from tests.ports import free_port
from tests.relay.cli.commands import ICELANE, LIMIT, icelane, refused


class Server:
    """`icelane up` that lets nobody in without a key."""

    def __init__(self, url: str, keys: Path) -> None:
        self.url = url
        self.key = icelane("keys", "api", "new", "alice", "--keys-file", str(keys)).stdout.strip()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    keys = tmp_path_factory.mktemp("keys") / "keys.toml"
    vip = f"127.0.0.1:{free_port()}"
    page = f"127.0.0.1:{free_port()}"
    made = Server(f"http://{page}", keys)
    options = ["--vip", vip, "--listen", page, "--backend", "echo", "--keys-file", str(keys)]
    options += ["--instance", f"test-own-{os.getpid()}"]
    with subprocess.Popen(
        [str(ICELANE), "up", *options], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready")
        yield made
        process.terminate()
        assert process.wait(LIMIT) == 0


def test_one_sees_shows_and_hangs_up_ones_own_calls(server: Server) -> None:
    mine = ("--server", server.url, "--api-key", server.key)
    command = [str(ICELANE), "call", server.url, "--seconds", "300", "--progress-json"]
    with subprocess.Popen(
        [*command, "--api-key", server.key], stdout=subprocess.PIPE, text=True
    ) as calling:
        assert calling.stdout is not None
        while json.loads(calling.stdout.readline())["event"] != "talking":
            pass
        (call,) = json.loads(icelane("calls", "list", *mine, "--json").stdout)
        assert (call["principal"], call["state"]) == ("alice", "connected")
        header, line = icelane("calls", "list", *mine).stdout.splitlines()
        assert header.split()[:4] == ["id", "state", "age", "principal"]
        assert call["id"] in line
        shown = icelane("calls", "show", call["id"], *mine).stdout
        named = dict(line.split(maxsplit=1) for line in shown.splitlines())
        assert (named["id"], named["rtp.lost"]) == (call["id"], "0")
        done = icelane("calls", "hangup", call["id"], *mine)
        assert done.stdout.startswith(f"Hung up {call['id']} after ")
        assert calling.wait(LIMIT) != 0
    result = icelane("calls", "list", *mine)
    assert (result.stdout, result.stderr) == ("", "No calls.\n")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--server", "http://127.0.0.1:9"), "http://127.0.0.1:9 cannot be asked"),
        (("--server", "{url}"), "answers 401: No API key was sent"),
        (("--server", "{url}", "--api-key", "sk-wrong"), "answers 401: This API key is not known"),
        (("--server", "{url}/page"), "answers 404"),
        (("--server", "nonsense"), "cannot be asked"),
    ],
)
def test_what_goes_wrong_is_said_in_a_sentence(
    server: Server, options: tuple[str, ...], says: str
) -> None:
    told = [each.format(url=server.url) for each in options]
    assert says in refused(icelane("calls", "list", *told), code=1)


def test_a_call_in_a_line() -> None:
    call = {
        "id": "rtc_1-1-1-a",
        "state": "connected",
        "age_seconds": 1234.5,
        "principal": "ada",
        "model": None,
        "client": None,
        "rtp": {"lost": 3},
        "concealed_share": 0.0123,
        "round_trip_seconds": 0.0314,
    }
    assert row(call) == {
        "id": "rtc_1-1-1-a",
        "state": "connected",
        "age": "1,234 s",
        "principal": "ada",
        "model": "-",
        "client": "-",
        "lost": "3",
        "concealed": "1.2%",
        "round trip": "31 ms",
    }
