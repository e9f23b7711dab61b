"""The services as they run, before strangers: nothing breaks, nobody waits, and nothing is told.

One process with relay, transceiver, signaling and the offline agent, whose back ends and clients
have secrets. What it prints, records and lists is read at the end.
"""

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from yarl import URL

from signaling.callid import CALLS
from signaling.clientsecrets import CLIENT_SECRETS
from signaling.websockets import REALTIME
from signaling.whip import WHIP
from tests.e2e.test_up import START
from tests.lab.config import icelane
from tests.lab.thinclient import ThinClient, new_identity
from tests.lab.tone import tone
from tests.ports import free_port
from tests.signaling.conftest import SDP, bearer, until
from tests.signaling.strangers import Asked, assert_is_an_error, credentials, requests

pytestmark = pytest.mark.e2e

A_SECOND, CALLS_AT_ONCE = 200, 20
COMMAND = 90.0  # seconds; a limit


@dataclass
class Front:
    """A process that serves, and what it has been told in confidence.

    Attributes:
        url: Where signaling is.
        key: The header with an API key.
        secrets: What must never be seen, by what it is.
        directory: What it prints and records is there.
        instance: Its name.
    """

    url: str
    key: dict[str, str]
    secrets: dict[str, str]
    directory: Path
    instance: str
    lists: list[str] = field(default_factory=list)

    async def listing(self, *command: str) -> Any:
        """What a command prints, which is kept. Clients go on meanwhile."""
        called = [icelane(), *command, "--instance", self.instance, "--json"]
        printed = await asyncio.to_thread(
            subprocess.run, called, capture_output=True, text=True, check=True, timeout=COMMAND
        )
        self.lists += [printed.stdout, printed.stderr]
        return json.loads(printed.stdout)

    async def health(self, http: aiohttp.ClientSession) -> dict[str, Any]:
        async with http.get(f"{self.url}/healthz") as response:
            health: dict[str, Any] = await response.json()
            return health


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    directory = tmp_path_factory.mktemp("front")
    secrets = {
        "server secret": "planted-server-secret-" + "5" * 32,
        "back end's key": "planted-key-of-the-back-end",
        "TURN credential": "planted-turn-credential",
    }
    private(directory / "backend.key", secrets["back end's key"])
    table = f"""[[backend]]
name = "away"
url = "ws://127.0.0.1:{free_port()}/v1/realtime?token={secrets["back end's key"]}"
key-file = "backend.key"
models = ["away"]

[[backend]]
name = "echo"
url = "echo"
"""
    named = ["--keys-file", str(directory / "keys.toml")]
    made = subprocess.run(
        [icelane(), "keys", "api", "new", "alice", *named, "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    secrets["API key"] = json.loads(made.stdout)["key"]
    page = f"127.0.0.1:{free_port()}"
    vip = f"127.0.0.1:{free_port()}"
    instance = f"strangers-{os.getpid()}"
    command = [icelane(), "up", "--verbose", "--listen", page, "--vip", vip, *named]
    command += ["--instance", instance, "--backend", "agent"]
    command += ["--backends", str(private(directory / "backends.toml", table))]
    command += ["--secret-file", str(private(directory / "secret", secrets["server secret"]))]
    command += ["--records", str(directory / "records.jsonl")]
    command += ["--ice-servers", f"turn:turn.example.net user {secrets['TURN credential']}"]
    out, log = directory / "out", directory / "log"
    with (
        out.open("w") as printed,
        log.open("w") as logged,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=printed, stderr=logged
        ) as process,
    ):
        try:
            asyncio.run(
                until(lambda: out.read_text().startswith("ready") or is_over(process), START)
            )
            assert process.poll() is None, log.read_text()
            key = bearer(secrets["API key"])
            yield Front(f"http://{page}", key, secrets, directory, instance)
        finally:
            process.terminate()
            try:
                ended = process.wait(START)
            finally:
                process.kill()
    assert ended == 0


def is_over(process: "subprocess.Popen[bytes]") -> bool:
    return process.poll() is not None


async def send(
    http: aiohttp.ClientSession, front: Front, asked: Asked, more: dict[str, str]
) -> aiohttp.ClientResponse:
    url = URL(front.url).with_path(asked.made).with_query(asked.query)
    response = await http.request(
        asked.method, url, headers={**asked.headers, **more}, data=asked.body
    )
    async with response:
        if response.status >= 400 and asked.method != "head":
            assert_is_an_error(await response.json())
    return response


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=requests(), key=credentials)
async def test_a_stranger_gets_nothing(front: Front, asked: Asked, key: dict[str, str]) -> None:
    async with aiohttp.ClientSession() as http:
        response = await send(http, front, asked, key)
    if not asked.is_open:
        assert response.status in (101, 401, 404, 405, 429)
    assert response.status < 500


async def test_nothing_is_left_of_strangers(front: Front) -> None:
    assert await front.listing("calls", "list") == []
    async with aiohttp.ClientSession() as http:
        health = await front.health(http)
    assert health["faults"] == {}
    assert health["transceivers"] == {"registered": 1, "reachable": 1, "with_room": 1}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=requests())
async def test_who_has_a_key_breaks_nothing(front: Front, asked: Asked) -> None:
    async with aiohttp.ClientSession() as http:
        response = await send(http, front, asked, front.key)
        assert response.status in asked.known | {101}
        assert response.status not in (500, 504)
        if response.status == 201:
            location = response.headers["Location"]
            async with http.delete(front.url + location, headers=front.key) as ended:
                assert ended.status == 200


async def place(http: aiohttp.ClientSession, front: Front, client: ThinClient, model: str) -> str:
    """Have a client's offer answered; the answer."""
    url = f"{front.url}{CALLS}?model={model}"
    async with http.post(url, data=client.offer, headers={**SDP, **front.key}) as response:
        assert response.status == 201, await response.text()
        return await response.text()


async def test_20_calls_are_set_up_amid_200_bad_requests_a_second(front: Front) -> None:
    identity, done = new_identity(), asyncio.Event()
    statuses: list[int] = []
    clients = [ThinClient(identity, Random(number)) for number in range(CALLS_AT_ONCE)]
    bodies = [b"", b"v=0\r\n", clients[0].offer.encode(), b"x" * 100_000]
    keys: Sequence[dict[str, str]] = [
        {},
        bearer("sk-icelane-no"),
        bearer("ek_no"),
        {"api-key": "x"},
    ]
    paths = [CALLS, WHIP, CLIENT_SECRETS, f"{CALLS}/rtc_1-1-1-abc/hangup"]

    running = asyncio.Semaphore(100)  # a flood that nobody answers waits, and takes no more

    async def rubbish(http: aiohttp.ClientSession, number: int) -> None:
        url, headers = front.url + paths[number % 4], {**SDP, **keys[number // 4 % 4]}
        async with http.post(url, data=bodies[number // 16 % 4], headers=headers) as response:
            statuses.append(response.status)
        running.release()

    async def flood() -> None:
        async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as sending:
            number = 0
            while number < 2 * A_SECOND or (not done.is_set() and number < 60 * A_SECOND):
                await running.acquire()
                sending.create_task(rubbish(http, number))
                number += 1
                await asyncio.sleep(1 / A_SECOND)

    async def call(http: aiohttp.ClientSession, client: ThinClient) -> None:
        await client.connect(await place(http, front, client, "echo"))
        for payload in tone()[:50]:
            client.speak(payload)
            await asyncio.sleep(0.02)
        await until(lambda: client.heard.rtp > 5, START)

    async def set_up() -> None:
        await until(lambda: len(statuses) >= A_SECOND // 2, START)
        try:
            async with aiohttp.ClientSession() as http:
                for start in range(0, CALLS_AT_ONCE, 4):
                    few = clients[start : start + 4]
                    await asyncio.gather(*(call(http, client) for client in few))
        finally:
            done.set()

    await asyncio.gather(flood(), set_up())
    listed = await front.listing("calls", "list")
    assert [each["state"] for each in listed] == ["connected"] * CALLS_AT_ONCE
    assert {each["principal"] for each in listed} == {"alice"}
    assert set(statuses) <= {401, 429}
    for client in clients:
        client.close(goodbye=True)


async def test_nothing_secret_is_printed_recorded_or_listed(front: Front) -> None:
    """What is known to be told stands beside it, or the search would prove nothing."""
    secrets, said = dict(front.secrets), "planted-words-of-a-person"
    client = ThinClient(new_identity(), Random(5), data=True)
    async with aiohttp.ClientSession(headers=front.key) as http:
        session = {"type": "realtime", "instructions": said}
        async with http.post(front.url + CLIENT_SECRETS, json={"session": session}) as response:
            secrets["client secret"] = (await response.json())["value"]
        # Keys wherever one may be put, also where none is looked for, and with what breaks.
        for name in ("API key", "client secret"):
            key = secrets[name]
            for query in ({"api_key": key}, {"api_key": key, "model": "away"}):
                for protocols in (("realtime", f"openai-insecure-api-key.{key}"), ()):
                    url = f"{front.url}{REALTIME}"
                    async with http.ws_connect(url, params=query, protocols=protocols) as socket:
                        event = {"type": "conversation.item.create", "item": said}
                        await socket.send_json(event)
                        await socket.receive()
            async with http.post(f"{front.url}{CALLS}?api_key={key}", data=key) as response:
                assert response.status == 415
        answers = [await place(http, front, client, model) for model in ("away", "agent")]
        await client.connect(answers[-1])
        secrets |= {
            f"ICE password of answer {number}": answer.split("a=ice-pwd:")[1].split()[0]
            for number, answer in enumerate(answers)
        }
        secrets["client's ICE password"] = client.offer.split("a=ice-pwd:")[1].split()[0]
        listed = await front.listing("calls", "list")
        ids = [each["id"] for each in listed if each["state"] == "connected"]
        assert ids
        await front.listing("calls", "show", ids[0])
        await front.listing("flows")
        for each in listed:
            async with http.delete(f"{front.url}{CALLS}/{each['id']}") as response:
                assert response.status == 200
        front.lists.append(json.dumps(await front.health(http)))
    client.close(goodbye=False)
    records, log = front.directory / "records.jsonl", front.directory / "log"
    own = [each["id"].rpartition("-")[2] for each in listed]
    await until(lambda: all(each in records.read_text() for each in own), START)
    seen = "".join([(front.directory / "out").read_text(), log.read_text(), records.read_text()])
    seen += "".join(front.lists)
    assert "of alice placed" in seen
    assert "back end away" in seen
    assert ids[0] in seen
    secrets["what a person says"] = said
    assert [name for name, text in secrets.items() if text in seen] == []
