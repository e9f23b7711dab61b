"""`icelane transceiver run` as a process."""

import asyncio
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from relay.config.privatefiles import write_private
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from tests.ports import free_port
from tests.relay.cli.commands import ICELANE, LIMIT, icelane, refused
from tests.relay.test_children import lives
from tests.transceiver.conftest import caller, dial, keys, transceiver, until

__all__ = ["caller", "dial", "keys", "transceiver", "until"]  # fixtures

Run = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def key_file(keys: KeyRing, tmp_path: Path) -> Path:
    path = tmp_path / "keys.toml"
    write_private(path, keys.dumps().encode())
    return path


@pytest.fixture
def run(key_file: Path) -> Iterator[Run]:
    started = []

    def start(**options: object) -> subprocess.Popen[str]:
        settings = {
            "listen": f"127.0.0.1:{free_port()}",
            "control": f"127.0.0.1:{free_port()}",
            "keys": key_file,
            "slot": 5,
            **options,
        }
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        process = subprocess.Popen(
            [ICELANE, "transceiver", "run", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        process.stderr.close()


def ready_line(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout
    words = process.stdout.readline().split()
    assert words[:1] == ["ready"], process.communicate()
    return dict(word.split("=", 1) for word in words[1:])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal_and_exits_with_zero(run: Run, number: signal.Signals) -> None:
    media = f"127.0.0.1:{free_port()}"
    process = run(listen=media)
    ready = ready_line(process)
    assert (ready["media"], ready["target"]) == (media, "1/5.1")
    with closing(HTTPConnection(ready["control"].removeprefix("http://"), timeout=5)) as http:
        http.request("GET", "/v1/health")
        health = json.load(http.getresponse())
    states = {"draining": False, "behind": False}
    assert health == {"sessions": 0, "capacity": 70, "principals": {}, "failing": [], **states}
    process.send_signal(number)
    output, errors = process.communicate(timeout=LIMIT)
    assert (process.returncode, output) == (0, "")
    assert "Traceback" not in errors


async def test_a_signal_ends_running_calls(run: Run, dial: Callable[..., Any], until: Any) -> None:
    process = run()
    ready = await asyncio.to_thread(ready_line, process)
    client = dial(Endpoint.parse(ready["control"].removeprefix("http://")))
    await client.call(Endpoint.parse(ready["media"]))
    await until(lambda: client.hears(10))
    process.send_signal(signal.SIGTERM)
    await until(lambda: client.pc.connectionState == "closed")
    _, errors = await asyncio.to_thread(process.communicate, timeout=LIMIT)
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert errors.count("connected in") == 1
    assert errors.count("ended: the transceiver stops") == 1


def asked(url: str, method: str, path: str) -> Any:
    with closing(HTTPConnection(url.removeprefix("http://"), timeout=5)) as http:
        http.request(method, path)
        return json.load(http.getresponse())


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("ends", ["hung up", "signal"])
async def test_with_drain_calls_go_on_after_a_signal_and_no_new_ones_come(
    run: Run, dial: Callable[..., Any], until: Any, ends: str, workers: int
) -> None:
    process = run(drain=300) if workers == 1 else run_two(run, drain=300)
    ready = await asyncio.to_thread(ready_line, process)
    url = ready["control"].split(",")[0]
    client = dial(Endpoint.parse(url.removeprefix("http://")))
    await client.call(Endpoint.parse(ready["media"].split(",")[0]))
    await until(lambda: client.hears(10))
    process.send_signal(signal.SIGTERM)
    await until(lambda: asked(url, "GET", "/v1/health")["draining"])
    (session,) = asked(url, "GET", "/v1/sessions")["sessions"]
    if ends == "signal":
        process.send_signal(signal.SIGTERM)
    else:
        asked(url, "DELETE", f"/v1/sessions/{session['id']}")
    _, errors = await asyncio.to_thread(process.communicate, timeout=LIMIT)
    assert process.returncode == 0
    why = "the transceiver stops" if ends == "signal" else "hung up"
    assert errors.count(f"ended: {why}") == 1
    assert "draining: 1 calls go on" in errors


def test_drain_by_command_and_back(run: Run) -> None:
    url = ready_line(run())["control"]
    drained = icelane("transceiver", "drain", url, "--json")
    assert json.loads(drained.stdout) == {"sessions": 0, "capacity": 70, "draining": True}
    assert asked(url, "GET", "/v1/health")["draining"]
    back = icelane("transceiver", "drain", url, "--end")
    assert back.stdout == f"{url} takes calls; 0 calls go on.\n"
    assert not asked(url, "GET", "/v1/health")["draining"]


def test_draining_what_is_no_transceiver_is_told() -> None:
    said = refused(icelane("transceiver", "drain", f"http://127.0.0.1:{free_port()}"), code=1)
    assert "cannot be asked" in said


@pytest.mark.parametrize("slot", ["-1", "16777216", "any"])
def test_a_slot_is_a_number_or_auto(run: Run, slot: str) -> None:
    assert "--slot: must be a number from 0 to 16777215, or auto" in failure(run(slot=slot))


def failure(process: subprocess.Popen[str], code: int = 2) -> str:
    output, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == code, (output, errors)
    assert output == ""
    assert "Traceback" not in errors
    (line,) = errors.splitlines()
    return line


def test_a_missing_key_file_is_named(run: Run) -> None:
    assert "icelane keys new" in failure(run(keys="/nowhere/keys.toml"))


@pytest.mark.parametrize("option", ["listen", "control"])
def test_a_bad_address_is_named(run: Run, option: str) -> None:
    assert f"--{option}: 'localhost' is not" in failure(run(**{option: "localhost:5000"}))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_back_end_that_is_none_is_named(run: Run, tmp_path: Path, workers: int) -> None:
    assert "--backend: unknown back end ech: did you mean echo?" in failure(
        run(backend="ech", workers=workers)
    )
    missing = tmp_path / "backends.toml"
    assert f"cannot read table of back ends {missing}: No such file" in failure(
        run(backends=missing, workers=workers)
    )


async def test_its_back_ends_are_those_of_the_table(
    run: Run, tmp_path: Path, dial: Callable[..., Any]
) -> None:
    table = tmp_path / "backends.toml"
    table.write_text('[[backend]]\nname = "mine"\nurl = "echo"\nmodels = ["m"]\n')
    ready = await asyncio.to_thread(ready_line, run(backends=table))
    client = dial(Endpoint.parse(ready["control"].removeprefix("http://")))
    _, models = await client.request("GET", "/v1/models")
    assert models["data"] == [{"id": "m", "object": "model", "owned_by": "mine"}]


def test_media_needs_one_address(run: Run) -> None:
    assert "name one address" in failure(run(listen="0.0.0.0:5000"))


@pytest.mark.parametrize(
    ("option", "purpose", "kind"),
    [
        ("listen", "media", socket.SOCK_DGRAM),
        ("control", "the control API", socket.SOCK_STREAM),
    ],
)
def test_a_port_in_use_is_named(
    run: Run, option: str, purpose: str, kind: socket.SocketKind
) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        line = failure(run(**{option: address}), code=1)
    assert f"cannot listen on {address} for {purpose}: Address already in use" in line


def test_an_address_of_another_host_is_named(run: Run) -> None:
    assert "this host has no such address" in failure(run(listen="192.0.2.77:5000"), code=1)


# --- several workers ---


def two_ports(kind: socket.SocketKind) -> str:
    """The first of two neighbouring ports that are free."""
    while True:
        first = free_port()
        with socket.socket(socket.AF_INET, kind) as next_one:
            try:
                next_one.bind(("127.0.0.1", first + 1))
            except (OSError, OverflowError):
                continue
        return f"127.0.0.1:{first}"


def run_two(run: Run, **options: object) -> subprocess.Popen[str]:
    media, control = two_ports(socket.SOCK_DGRAM), two_ports(socket.SOCK_STREAM)
    return run(**{"listen": media, "control": control, "workers": 2, **options})


async def test_each_worker_takes_calls_and_a_signal_ends_them_all(
    run: Run, dial: Callable[..., Any], until: Any
) -> None:
    process = run_two(run)
    ready = await asyncio.to_thread(ready_line, process)
    assert ready["target"] == "1/5.1,1/6.1"
    medias = [Endpoint.parse(each) for each in ready["media"].split(",")]
    controls = [
        Endpoint.parse(each.removeprefix("http://")) for each in ready["control"].split(",")
    ]
    assert medias[1].port == medias[0].port + 1
    clients = [dial(control) for control in controls]
    for client, media in zip(clients, medias, strict=True):
        await client.call(media)
        await until(lambda client=client: client.hears(10))
    process.send_signal(signal.SIGTERM)
    for client in clients:
        await until(lambda client=client: client.pc.connectionState == "closed")
    output, errors = await asyncio.to_thread(process.communicate, timeout=LIMIT)
    assert (process.returncode, output) == (0, "")
    assert "Traceback" not in errors
    assert errors.count("ended: the transceiver stops") == 2


def pids_of_workers(process: subprocess.Popen[str]) -> list[int]:
    """The workers in their order."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii")
    return sorted(map(int, children.split()), key=_place_of)


def _place_of(pid: int) -> int:
    *_, task, _, _ = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return int(task)  # a descriptor, of which the first worker has the lowest


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hung"])
async def test_a_worker_that_is_gone_or_hangs_is_replaced_and_the_others_calls_go_on(
    run: Run, dial: Callable[..., Any], until: Any, number: signal.Signals
) -> None:
    process = run_two(run)
    ready = await asyncio.to_thread(ready_line, process)
    medias = [Endpoint.parse(each) for each in ready["media"].split(",")]
    controls = [
        Endpoint.parse(each.removeprefix("http://")) for each in ready["control"].split(",")
    ]
    lasting = dial(controls[1])
    await lasting.call(medias[1])
    await until(lambda: lasting.hears(10))
    before = pids_of_workers(process)
    os.kill(before[0], number)
    async with asyncio.timeout(LIMIT):
        while lives(before[0]):  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.05)
    newcomer = dial(controls[0])
    await newcomer.call(medias[0])
    await until(lambda: newcomer.hears(10))
    lasting.loudness.clear()
    await until(lambda: lasting.hears(10))
    assert pids_of_workers(process)[1] == before[1]


def test_a_worker_whose_port_is_taken_says_so_and_ends_the_others(run: Run) -> None:
    media = two_ports(socket.SOCK_DGRAM)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken_at = Endpoint("127.0.0.1", Endpoint.parse(media).port + 1)
        taken.bind(taken_at)
        process = run_two(run, listen=media)
        output, errors = process.communicate(timeout=LIMIT)
    assert (process.returncode, output) == (1, "")
    assert "Traceback" not in errors
    (line,) = errors.splitlines()
    assert f"cannot listen on {taken_at} for media: Address already in use" in line


def test_too_many_workers_for_the_slots_are_refused(run: Run) -> None:
    assert "the last one is 16777215" in failure(run_two(run, slot=0xFFFFFF))


def test_a_missing_key_file_is_named_once(run: Run) -> None:
    assert "icelane keys new" in failure(run_two(run, keys="/nowhere/keys.toml"))
