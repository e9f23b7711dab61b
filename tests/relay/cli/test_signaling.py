"""`icelane signaling run` as a process, the way users and service managers meet it."""

import asyncio
import shutil
import signal
import ssl
import subprocess
import sys
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from relay.config.privatefiles import write_private
from relay.config.registry import Relay
from relay.registry.announcer import Announcer
from relay.registry.entry import Entry, RelayEntry, TransceiverEntry
from relay.registry.store import RegistryStore
from relay.wire.endpoint import Endpoint
from signaling.server import SignalingServer
from tests.ports import free_port
from tests.relay.cli.commands import ICELANE, LIMIT, line, run, started, unboxed
from tests.relay.conftest import RedisServer
from tests.scraping import scrape
from tests.signaling.conftest import SDP, http, offer, real_server, serve, transceiver
from transceiver.server import Transceiver

__all__ = ["http", "offer", "real_server", "serve", "transceiver"]  # fixtures


@pytest.fixture
def registry(tmp_path: Path, transceiver: Transceiver) -> Path:
    path = tmp_path / "registry.toml"
    path.write_text(
        f"""
        [[relay]]
        vip = "{transceiver.address}"
        [[transceiver]]
        cluster = 1
        slot = 5
        generation = 9
        address = "{transceiver.address}"
        control = "http://{transceiver.control}"
        """
    )
    return path


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
async def test_signaling_says_when_it_is_ready_and_ends_when_told(
    registry: Path, http: aiohttp.ClientSession, ending: signal.Signals
) -> None:
    listen = f"127.0.0.1:{free_port()}"
    async with started(
        "signaling", "run", "--listen", listen, "--registry", str(registry)
    ) as process:
        assert await line(process) == f"ready http://{listen}\n"
        async with http.get(f"http://{listen}/healthz") as response:
            assert (await response.json())["transceivers"]["with_room"] == 1
        process.send_signal(ending)
        output, errors = await process.communicate()
        assert (process.returncode, output, errors) == (0, b"", b"")


@pytest.mark.skipif(
    not shutil.which("systemd-socket-activate"), reason="needs systemd-socket-activate, of systemd"
)
async def test_who_connects_before_it_runs_is_served_where_a_service_manager_listens(
    registry: Path, http: aiohttp.ClientSession
) -> None:
    listen, other = (f"127.0.0.1:{free_port()}" for _ in range(2))
    process = await asyncio.create_subprocess_exec(
        *("systemd-socket-activate", "--listen", listen, "--listen", other, str(ICELANE)),
        *("signaling", "run", "--listen", listen, "--registry", str(registry)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        for _ in (listen, other):
            assert (await process.stderr.readline()).startswith(b"Listening on")
        async with http.get(f"http://{listen}/healthz") as response:  # which has it started
            assert response.status == 200
        process.terminate()
        output, errors = await process.communicate()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    assert (process.returncode, output) == (0, f"ready http://{listen}\n".encode())
    assert f"the service manager holds a socket at {other}, where nothing" in errors.decode()


async def test_whom_it_knows_from_redis_gets_calls_and_a_relay_near_the_client_is_told(
    redis_server: RedisServer,
    transceiver: Transceiver,
    http: aiohttp.ClientSession,
    offer: str,
    tmp_path: Path,
) -> None:
    keys = transceiver.config.keys
    write_private(tmp_path / "keys.toml", keys.dumps().encode())
    (tmp_path / "regions.toml").write_text('default = "eu"')
    me = TransceiverEntry(
        transceiver.config.target, transceiver.address, transceiver.control, 0, 10, region="eu"
    )
    vips = {"eu": Endpoint("203.0.113.10", 3478), "us": Endpoint("203.0.113.20", 3478)}
    relays = [
        RelayEntry(1, region, (Relay(vip, name=region),), 0, 10, region=region)
        for region, vip in vips.items()
    ]
    listen = f"127.0.0.1:{free_port()}"
    arguments = ["--listen", listen, "--redis", redis_server.url, "--allow", "127.0.0.0/8"]
    arguments += ["--keys", f"{tmp_path}/keys.toml", "--regions", f"{tmp_path}/regions.toml"]
    arguments += ["--region-header", "X-Region"]
    async with AsyncExitStack() as stack:
        owners: list[tuple[Entry, str | None]] = [(me, "me"), *((each, None) for each in relays)]
        for entry, owner in owners:
            announcer = Announcer(redis_server.url, keys, partial(_same, entry), owner=owner)
            await stack.enter_async_context(announcer.announcing())
        store = await stack.enter_async_context(RegistryStore(redis_server.url, keys))
        async with asyncio.timeout(20):
            while len(await store.read(1)) < 3:  # noqa: ASYNC110  # Redis tells nobody
                await asyncio.sleep(0.05)
        process = await stack.enter_async_context(started("signaling", "run", *arguments))
        assert await line(process) == f"ready http://{listen}\n"
        for header, vip in (({}, vips["eu"]), ({"X-Region": "us"}, vips["us"])):
            url = f"http://{listen}/v1/realtime/calls"
            async with http.post(url, data=offer, headers={**SDP, **header}) as response:
                answer = await response.text()
                assert response.status == 201, answer
            told = {each for each in vips.values() if f" {each.host} {each.port} " in answer}
            assert told == {vip}


def _same(entry: Entry) -> Entry:
    return entry


class Running:
    """A server that runs, as monitoring sees it."""

    def __init__(self, http: aiohttp.ClientSession, listen: str, metrics: str) -> None:
        self._http = http
        self._listen = listen
        self._metrics = Endpoint.parse(metrics)

    async def seen(self) -> tuple[set[str], bool, set[str], bool]:
        """By its health and by its metrics: what fails, and whether the fleet is known."""
        async with self._http.get(f"http://{self._listen}/healthz") as response:
            health = await response.json()
        _, found = await scrape(self._http, self._metrics)
        tasks = found["icelane_signaling_task_working"]
        (known,) = found["icelane_signaling_registry_working"].values()
        failing = {name for (name,), works in tasks.items() if not works}
        return set(health["failing"]), health["registry"]["trouble"] is None, failing, known == 1

    async def until(self, *failing: str, known: bool) -> None:
        """Wait until both say so."""
        async with asyncio.timeout(LIMIT):
            wanted = (set(failing), known, set(failing), known)
            while await self.seen() != wanted:  # noqa: ASYNC110  # it is another process
                await asyncio.sleep(0.05)


async def test_health_and_metrics_tell_of_files_that_cannot_be_used(
    redis_server: RedisServer, http: aiohttp.ClientSession, registry: Path, tmp_path: Path
) -> None:
    listen, metrics = (f"127.0.0.1:{free_port()}" for _ in range(2))
    keys, api = tmp_path / "keys.toml", tmp_path / "api.toml"
    for command in (("new", keys), ("api", "new", "anna", "--keys-file", api)):
        assert (await run("keys", *map(str, command)))[0] == 0
    arguments = ["--listen", listen, "--metrics", metrics, "--registry", str(registry)]
    arguments += ["--redis", redis_server.url, "--keys", str(keys), "--keys-file", str(api)]
    names = {registry: "registry file", keys: "key file", api: "API keys"}
    async with started("signaling", "run", *arguments) as process:
        assert await line(process) == f"ready http://{listen}\n"
        running = Running(http, listen, metrics)
        await running.until(known=True)
        good = {file: file.read_bytes() for file in names}
        for spoil in (lambda file: write_private(file, b"nonsense"), Path.unlink):
            for file in names:
                spoil(file)
            await running.until(*names.values(), known=False)
            for file, content in good.items():
                write_private(file, content)
            await running.until(known=True)
        redis_server.stop()
        await running.until("registry", known=False)


async def test_the_registry_in_redis_needs_the_keys_and_something_must_say_who_there_is() -> None:
    for options, says in ((["--redis", "redis://127.0.0.1"], "--keys"), ([], "--registry")):
        code, output, errors = await run("signaling", "run", "--listen", "127.0.0.1:1", *options)
        assert (code, output) == (2, "")
        assert says in errors


async def test_it_serves_https_to_who_has_a_key(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    keys = str(tmp_path / "keys.toml")
    _, key, _ = await run("keys", "api", "new", "alice", "--keys-file", keys)
    listen = f"127.0.0.1:{free_port()}"
    arguments = ["--listen", listen, "--registry", str(registry)]
    arguments += ["--keys-file", keys, "--tls-self-signed"]
    async with started("signaling", "run", *arguments) as process:
        assert await line(process) == f"ready https://{listen}\n"
        trusted = ssl.create_default_context(cafile=tmp_path / "icelane" / "self-signed.pem")
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusted)) as http:
            for headers, status in (({}, 401), ({"Authorization": f"Bearer {key.strip()}"}, 200)):
                url = f"https://{listen}/v1/realtime/client_secrets"
                async with http.post(url, json={}, headers=headers) as response:
                    assert response.status == status
        process.send_signal(signal.SIGTERM)
        output, errors = await process.communicate()
        assert (process.returncode, output) == (0, b"")
        assert b"only this host reaches" in errors


async def test_others_may_not_call_by_oversight(registry: Path) -> None:
    code, output, errors = await run(
        "signaling", "run", "--listen", "0.0.0.0:8080", "--registry", str(registry)
    )
    assert (code, output) == (2, "")
    assert "there are no API keys" in unboxed(errors)
    assert "--open" in errors


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        ("[[relay]", "not valid TOML"),
        ("", "names no relay"),
        ('[[relay]]\nvip = "192.0.2.1:3478"', "no transceiver with a control URL"),
    ],
)
async def test_a_registry_that_cannot_be_used_is_explained(
    tmp_path: Path, content: str | None, reason: str
) -> None:
    path = tmp_path / "r.toml"
    if content is not None:
        path.write_text(content)
    code, output, errors = await run(
        "signaling", "run", "--listen", "127.0.0.1:1", "--registry", str(path)
    )
    assert (code, output) == (2, "")
    assert reason in unboxed(errors)
    assert "Traceback" not in errors


async def test_an_address_that_cannot_be_used_is_explained(
    registry: Path, real_server: SignalingServer
) -> None:
    for listen, code, reason in (
        ("localhost", 2, "is not a transport address"),
        (real_server.url.removeprefix("http://"), 1, "cannot listen on"),
    ):
        done = await run("signaling", "run", "--listen", listen, "--registry", str(registry))
        assert (done[0], done[1]) == (code, "")
        assert reason in unboxed(done[2])


def test_looking_at_help_loads_no_codec() -> None:
    program = (
        "import sys; import relay.cli.signaling; "
        "sys.exit(bool({'av', 'aiortc', 'aiohttp'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def test_what_is_said_of_whip_reaches_its_clients(
    registry: Path, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    config = tmp_path / "icelane.toml"
    config.write_text(
        '[signaling]\npatch_without_if_match = true\nice_servers = ["turn:turn.example.net u p"]\n'
    )
    listen = f"127.0.0.1:{free_port()}"
    options = ("--listen", listen, "--registry", str(registry), "--config", str(config))
    more = ("--ice-servers", "stun:stun.example.net")
    async with started("signaling", "run", *options) as process:
        await line(process)
        async with http.options(f"http://{listen}/whip") as response:
            assert 'username="u"' in response.headers["Link"]
        patch = {"Content-Type": "application/trickle-ice-sdpfrag"}
        url = f"http://{listen}/whip/rtc_1-1-1-x"
        async with http.patch(url, data="a=mid:0", headers=patch) as response:
            assert response.status == 404  # and not 428
    async with started("signaling", "run", *options, *more) as process:
        await line(process)
        async with http.options(f"http://{listen}/whip") as response:
            assert response.headers.getall("Link") == ['<stun:stun.example.net>; rel="ice-server"']


async def test_an_ice_server_that_is_none_is_explained(registry: Path) -> None:
    done = await run(
        *("signaling", "run", "--listen", "127.0.0.1:1", "--registry", str(registry)),
        *("--ice-servers", "http://example.net"),
    )
    assert done[:2] == (2, "")
    assert "write stun:HOST:PORT" in unboxed(done[2])
