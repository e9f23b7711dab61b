"""Secrets are planted wherever the system has any, and then looked for in all that it prints."""

import asyncio
import base64
import json
import os
import secrets
import socket
import subprocess
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from relay.config.privatefiles import write_private
from tests.lab.config import icelane
from tests.ports import free_port
from tests.relay.conftest import RedisServer

LIMIT = 60.0  # seconds
LOOPBACK = "127.0.0.0/8"


@dataclass
class Planted:
    """The secrets, by what they are, and the files and variables that hold them."""

    directory: Path
    redis_url: str
    secrets: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    def plant(self, name: str, secret: str) -> str:
        self.secrets[name] = secret
        return secret

    def file(self, name: str, content: str) -> Path:
        path = self.directory / name
        write_private(path, content.encode())
        return path

    def found_in(self, text: str) -> list[str]:
        """The names of those that a text gives away, as they are or as base64 has them."""
        told = {
            name: (secret, base64.b64encode(secret.encode()).decode().rstrip("="))
            for name, secret in self.secrets.items()
        }
        return [name for name, forms in told.items() if any(each in text for each in forms)]


@pytest.fixture
def planted(tmp_path: Path) -> Iterator[Planted]:
    with RedisServer(tmp_path) as redis:
        password = secrets.token_hex(16)
        redis.client().config_set("requirepass", password)
        url = redis.url.replace("unix://", f"unix://:{password}@")
        made = Planted(tmp_path, url)
        made.plant("Redis password", password)
        made.environment = {"ICELANE_REDIS": url, "ICELANE_KEYS": str(tmp_path / "keys.toml")}
        yield made
        redis.client_with(password).config_set("requirepass", "")


def plant_files(planted: Planted, agent: str) -> None:
    key_file = planted.directory / "keys.toml"
    subprocess.run([icelane(), "keys", "new", str(key_file)], check=True, capture_output=True)
    document = tomllib.loads(key_file.read_text())
    planted.plant("master key", document["keys"]["0"])
    planted.plant("spread secret", document["spread"])
    made = subprocess.run(
        [icelane(), "keys", "api", "new", "alice", "--keys-file", str(planted.directory / "api")],
        check=True,
        capture_output=True,
        text=True,
    )
    planted.plant("API key", made.stdout.strip())
    planted.file("secret", planted.plant("server secret", secrets.token_hex(32)))
    webhook = base64.b64encode(secrets.token_bytes(32)).decode()
    planted.file("webhook", "whsec_" + planted.plant("webhook secret", webhook))
    planted.file("backend.key", planted.plant("back end's key", secrets.token_hex(16)))
    password = planted.plant("back end's password", secrets.token_hex(16))
    (planted.directory / "backends.toml").write_text(
        f'[[backend]]\nname = "own"\nurl = "ws://user:{password}@{agent}/v1/realtime"\n'
        f'key-file = "backend.key"\nauth = "query"\n'
    )


class Printed:
    """Services, and all that they and other commands have printed."""

    def __init__(self, planted: Planted) -> None:
        self._planted = planted
        self._environment = {**os.environ, **planted.environment}
        self._logs: list[Path] = []
        self.pids: list[int] = []
        self.texts: dict[str, str] = {}

    async def start(self, stack: AsyncExitStack, *command: str) -> None:
        log = self._planted.directory / f"{command[0]}.log"
        self._logs.append(log)
        with log.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                icelane(), *command, "--verbose", stdout=file, stderr=file, env=self._environment
            )
        self.pids.append(process.pid)
        stack.push_async_callback(self._stop, process)
        async with asyncio.timeout(LIMIT):
            while b"ready" not in log.read_bytes():
                assert process.returncode is None, log.read_text()
                await asyncio.sleep(0.05)

    @staticmethod
    async def _stop(process: asyncio.subprocess.Process) -> None:
        if process.returncode is None:
            process.terminate()
        await process.wait()

    async def run(self, *command: str) -> str:
        process = await asyncio.create_subprocess_exec(
            icelane(),
            *command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment,
        )
        text = (await process.communicate())[0].decode()
        self.texts[" ".join(command)] = text
        return text

    def collect(self) -> None:
        for log in self._logs:
            self.texts[log.name] = log.read_text()
        for pid in self.pids:
            path = Path(f"/proc/{pid}/cmdline")
            self.texts[str(path)] = path.read_text()


@dataclass
class Site:
    planted: Planted
    printed: Printed
    page: str
    metrics: str
    control: str


@pytest.fixture
async def site(planted: Planted) -> AsyncIterator[Site]:
    agent, control, page, metrics = (f"127.0.0.1:{free_port()}" for _ in range(4))
    vip, media = (f"127.0.0.1:{free_port()}" for _ in range(2))
    await asyncio.to_thread(plant_files, planted, agent)
    files, printed = planted.directory, Printed(planted)
    admin = ("--admin", str(files / "admin.sock"))
    async with AsyncExitStack() as stack:
        await printed.start(stack, "agent", "run", "--listen", agent)
        await printed.start(
            stack,
            *("relay", "run", "--vip", vip, "--upstream", "127.0.0.1", "--allow", LOOPBACK),
            *("--dataplane", "userspace", "--metrics", metrics, *admin, "--instance", "secrets"),
        )
        await printed.start(
            stack,
            *("transceiver", "run", "--listen", media, "--control", control),
            *("--backends", str(files / "backends.toml"), "--webhook", f"http://{agent}/nowhere"),
            *("--webhook-secret-file", str(files / "webhook")),
        )
        await printed.start(
            stack,
            *("signaling", "run", "--listen", page, "--allow", LOOPBACK),
            *("--keys-file", str(files / "api"), "--secret-file", str(files / "secret")),
        )
        yield Site(planted, printed, f"http://{page}", f"http://{metrics}", f"http://{control}")


async def place_call(site: Site, key: str) -> RTCPeerConnection:
    """A call that is answered; its secrets are planted, too."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.addTransceiver("audio")
    channel, heard = pc.createDataChannel("oai-events"), asyncio.Event()
    channel.on("message", lambda _: heard.set())
    await pc.setLocalDescription(await pc.createOffer())
    offer = pc.localDescription.sdp
    headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession() as http, asyncio.timeout(LIMIT):
        status = 0
        while status != 201:  # signaling may not have heard of the transceiver yet
            async with http.post(
                f"{site.page}/v1/realtime/calls", data=offer, headers=headers
            ) as response:
                status, answer = response.status, await response.text()
                assert status in (201, 503), answer
                token = response.headers.get("Icelane-Resume", "")
            await asyncio.sleep(0.1)
    which = "second" if "resume token" in site.planted.secrets else "first"
    site.planted.plant("resume token", token)
    site.planted.plant(f"{which} resume token", token)
    for whose, sdp in (("client's", offer), ("server's", answer)):
        password = sdp.split("a=ice-pwd:")[1].split("\r\n")[0]
        site.planted.plant(f"{which} call, {whose} ICE password", password)
    await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    async with asyncio.timeout(LIMIT):
        await heard.wait()
    return pc


async def ask_for_secret(site: Site) -> str:
    headers = {"Authorization": f"Bearer {site.planted.secrets['API key']}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(f"{site.page}/v1/realtime/client_secrets", json={}) as response,
    ):
        told: str = (await response.json())["value"]
        return site.planted.plant("client secret", told)


async def wrong_ways_in(site: Site) -> None:
    """Errors are printed by both sides."""
    url, key = f"{site.page}/v1/realtime/calls", site.planted.secrets["API key"]
    async with aiohttp.ClientSession() as http:
        for headers in (
            {"Authorization": f"Bearer {key}x"},
            {"Authorization": f"Basic {key}"},
            {"Authorization": f"Bearer {key}", "Content-Type": "text/plain"},
            {"api-key": key, "Icelane-Resume": site.planted.secrets["resume token"] + "x"},
        ):
            async with http.post(url, data=b"v=0", headers=headers) as response:
                name = f"answer to {sorted(headers)}"
                site.printed.texts[name] = str(response.headers) + await response.text()


async def test_nothing_that_is_printed_has_a_secret_in_it(site: Site) -> None:
    planted, printed, files = site.planted, site.printed, site.planted.directory
    first = await place_call(site, planted.secrets["API key"])
    second = await place_call(site, await ask_for_secret(site))
    await wrong_ways_in(site)
    admin = ("--admin", str(files / "admin.sock"))
    known = ("registry", "list", "--redis", planted.redis_url)
    someone = json.loads(await printed.run(*known, "--json"))[0]["name"]
    for listing in (
        known,
        ("flows", *admin),
        ("registry", "show", someone, "--redis", planted.redis_url),
        ("keys", "list", str(files / "keys.toml")),
        ("keys", "check", str(files / "keys.toml"), *admin),
        ("keys", "api", "list", "--keys-file", str(files / "api")),
        ("calls", "list", *admin),
    ):
        assert await printed.run(*listing)
        json.loads(await printed.run(*listing, "--json"))
    password = planted.secrets["Redis password"]
    for url in (f"http://:{password}@x", f"redis://:{password}@127.0.0.1:1/0"):
        for command in (("registry", "list"), ("relay", "run", "--vip", "127.0.0.1:1")):
            assert "icelane: " in await printed.run(*command, "--redis", url)
    sentinel = f"redis+sentinel://:{password}@127.0.0.1:1"
    assert "names no master" in await printed.run("registry", "list", "--redis", sentinel)
    with socket.create_connection(("127.0.0.1", int(site.metrics.rpartition(":")[2]))):
        pass
    async with aiohttp.ClientSession() as http:
        for path in ("/metrics", "/healthz", "/readyz"):
            async with http.get(site.metrics + path) as response:
                printed.texts[path] = await response.text()
    for each in (first, second):
        await each.close()
    printed.collect()
    gives_away = {name: planted.found_in(text) for name, text in printed.texts.items()}
    assert {name: found for name, found in gives_away.items() if found} == {}
    assert all(len(secret) >= 22 for secret in planted.secrets.values())
    # Nor have metrics an id, or an address of anybody.
    numbers = printed.texts["/metrics"]
    assert "icelane_relay_flows" in numbers
    assert "127.0.0.1" not in numbers
    assert "confirmed" in printed.texts[" ".join(("flows", *admin))]
