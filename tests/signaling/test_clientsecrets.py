"""Client secrets over HTTP, and OpenAI's own client, unmodified but for its base URL."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from openai.types.realtime import ClientSecretCreateResponse

from relay.config.privatefiles import write_private
from signaling.auth.clientsecret import DEFAULT_LIFE
from signaling.callid import CALLS
from signaling.clientsecrets import CLIENT_SECRETS
from signaling.server import SignalingServer
from tests.signaling.conftest import SDP, Keys, bearer
from transceiver.server import Transceiver


@pytest.fixture
async def keyed(serve: Any, transceiver: Transceiver, keys: Keys) -> AsyncIterator[SignalingServer]:
    keys.add("alice", models=("small", "large"))
    controls = (transceiver.config.target, f"http://{transceiver.control}")
    async with serve(controls, advertise=transceiver.address, keys_file=keys.path) as server:
        yield server


@pytest.fixture
async def client(keyed: SignalingServer, keys: Keys) -> AsyncIterator[openai.AsyncOpenAI]:
    base = f"{keyed.url}/v1"
    async with openai.AsyncOpenAI(
        api_key=keys.texts["alice"], base_url=base, max_retries=0
    ) as made:
        yield made


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (b"{", 400, "invalid_json", None),
        (b"[]", 400, "invalid_json", None),
        ({"session": []}, 400, "invalid_session", "session"),
        ({"session": None}, 400, "invalid_session", "session"),
        ({"session": {}}, 400, "missing_required_parameter", "session.type"),
        ({"session": {"type": "x"}}, 400, "invalid_value", "session.type"),
        ({"session": {"type": "realtime", "model": "huge"}}, 403, "model_not_found", "model"),
        ({"expires_after": 60}, 400, "invalid_value", "expires_after"),
        ({"expires_after": {"anchor": "x"}}, 400, "invalid_value", "expires_after.anchor"),
        ({"expires_after": {"seconds": 9}}, 400, "invalid_value", "expires_after.seconds"),
        ({"expires_after": {"seconds": 7201}}, 400, "invalid_value", "expires_after.seconds"),
        ({"expires_after": {"seconds": True}}, 400, "invalid_value", "expires_after.seconds"),
        ({"expires_after": {"seconds": 60.5}}, 400, "invalid_value", "expires_after.seconds"),
        (b"x" * 300_000, 413, "body_too_large", None),
        (
            {"session": {"type": "realtime", "instructions": str([*range(10**4)])}},
            413,
            "session_too_large",
            "session",
        ),
    ],
)
async def test_what_makes_no_secret_is_told(
    *,
    http: aiohttp.ClientSession,
    keyed: SignalingServer,
    keys: Keys,
    body: Any,
    status: int,
    code: str,
    param: str | None,
) -> None:
    sent = {"data": body} if isinstance(body, bytes) else {"json": body}
    headers = bearer(keys.texts["alice"])
    async with http.post(keyed.url + CLIENT_SECRETS, headers=headers, **sent) as response:
        error = (await response.json())["error"]
    assert (response.status, error["code"], error["param"]) == (status, code, param)


@pytest.mark.parametrize(
    ("body", "life"),
    [
        (b"", DEFAULT_LIFE),
        ({}, DEFAULT_LIFE),
        ({"expires_after": {}}, DEFAULT_LIFE),
        ({"expires_after": {"anchor": "created_at", "seconds": 10}}, 10),
        ({"expires_after": {"seconds": 7200}}, 7200),
    ],
)
async def test_a_secret_is_made_and_lives_as_long_as_is_asked(
    http: aiohttp.ClientSession, keyed: SignalingServer, keys: Keys, body: Any, life: int
) -> None:
    sent = {"data": body} if isinstance(body, bytes) else {"json": body}
    before = int(time.time())
    headers = bearer(keys.texts["alice"])
    async with http.post(keyed.url + CLIENT_SECRETS, headers=headers, **sent) as response:
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store"
        told = await response.json()
    assert told["value"].startswith("ek_")
    assert before + life <= told["expires_at"] <= time.time() + life
    assert told["session"]["type"] == "realtime"


class TestOpenAiPython:
    async def test_a_secret_is_made_and_parses_strictly(self, client: openai.AsyncOpenAI) -> None:
        made = await client.realtime.client_secrets.with_raw_response.create(
            expires_after={"anchor": "created_at", "seconds": 60},
            session={"type": "realtime", "model": "small", "instructions": "Be brief."},
        )
        told = made.parse()
        strictly = ClientSecretCreateResponse.model_validate_json(made.content, strict=True)
        assert strictly == told
        assert told.value.startswith("ek_")
        assert told.session.type == "realtime"
        assert (told.session.model, told.session.instructions) == ("small", "Be brief.")

    async def test_a_secret_of_a_transcription(self, client: openai.AsyncOpenAI) -> None:
        made = await client.realtime.client_secrets.with_raw_response.create(
            session={"type": "transcription"}
        )
        told = ClientSecretCreateResponse.model_validate_json(made.content, strict=True)
        assert told.session.type == "transcription"

    @pytest.mark.parametrize("with_session", [True, False])
    async def test_a_call_is_placed_and_hung_up(
        self,
        client: openai.AsyncOpenAI,
        transceiver: Transceiver,
        offer: str,
        *,
        with_session: bool,
    ) -> None:
        session: Any = {"session": {"type": "realtime", "model": "large"}} if with_session else {}
        answer = await client.realtime.calls.create(sdp=offer, **session)
        assert (await answer.aread()).startswith(b"v=0\r\n")
        call_id = answer.response.headers["Location"].rsplit("/", 1)[1]
        assert len(transceiver.calls) == 1
        await client.realtime.calls.hangup(call_id)
        assert len(transceiver.calls) == 0

    async def test_a_call_is_placed_with_a_secret(
        self, client: openai.AsyncOpenAI, keyed: SignalingServer, offer: str
    ) -> None:
        made = await client.realtime.client_secrets.create(session={"type": "realtime"})
        async with openai.AsyncOpenAI(api_key=made.value, base_url=f"{keyed.url}/v1") as browser:
            await browser.realtime.calls.create(sdp=offer)
            with pytest.raises(openai.PermissionDeniedError) as raised:
                await browser.realtime.client_secrets.create()
        assert raised.value.code == "insufficient_permissions"

    async def test_its_errors_are_the_ones_that_are_meant(
        self, client: openai.AsyncOpenAI, keyed: SignalingServer, offer: str
    ) -> None:
        with pytest.raises(openai.BadRequestError) as bad:
            await client.realtime.calls.create(sdp="hello")
        assert (bad.value.code, bad.value.param) == ("invalid_offer", "sdp")
        with pytest.raises(openai.NotFoundError) as missing:
            await client.realtime.calls.hangup("rtc_1-5-9-abc")
        assert missing.value.code in {"call_not_found", "call_id_not_found"}
        async with openai.AsyncOpenAI(api_key="sk-x", base_url=f"{keyed.url}/v1") as stranger:
            with pytest.raises(openai.AuthenticationError) as unknown:
                await stranger.realtime.calls.create(sdp=offer)
        assert unknown.value.code == "invalid_api_key"


async def test_the_key_of_a_secret_decides_which_models_it_may_use(
    http: aiohttp.ClientSession, keyed: SignalingServer, keys: Keys, offer: str
) -> None:
    headers = bearer(keys.texts["alice"])
    async with http.post(keyed.url + CLIENT_SECRETS, headers=headers, json={}) as response:
        secret = (await response.json())["value"]
    for model, status in (("large", 201), ("huge", 403)):
        async with http.post(
            f"{keyed.url}{CALLS}?model={model}", data=offer, headers={**SDP, **bearer(secret)}
        ) as response:
            assert response.status == status


OLD, NEW = "o" * 32, "n" * 32
#: The lines of the file, by the steps of docs/signaling.md.
ROTATION = [[OLD], [OLD, NEW], [NEW, OLD], [NEW]]


async def test_secrets_of_any_server_are_taken_by_any_while_what_signs_them_is_rotated(
    http: aiohttp.ClientSession, serve: Any, keys: Keys, tmp_path: Path
) -> None:
    keys.add("alice")
    files = [tmp_path / "early.secret", tmp_path / "late.secret"]

    def write(path: Path, lines: list[str]) -> None:
        write_private(path, "".join(f"{line}\n" for line in lines).encode())

    async def make(server: SignalingServer) -> str:
        headers = bearer(keys.texts["alice"])
        async with http.post(server.url + CLIENT_SECRETS, headers=headers) as made:
            return str((await made.json())["value"])

    async def takes(server: SignalingServer, secret: str) -> bool:
        async with http.post(server.url + CALLS, headers=bearer(secret)) as response:
            return response.status == 415  # who is let in is told that this is no offer

    for path in files:
        write(path, ROTATION[0])
    async with (
        serve(keys_file=keys.path, secret_file=files[0]) as early,
        serve(keys_file=keys.path, secret_file=files[1]) as late,
    ):
        for step, lines in enumerate(ROTATION):
            for path, server in zip(files, (early, late), strict=True):
                write(path, lines)
                await server._signers.look()
                taken = [await takes(late, await make(early)), await takes(early, await make(late))]
                assert taken == [True, True], f"step {step}, {path.name}"
        write(files[0], [OLD])  # another one in front, which not all have
        await early._signers.look()
        assert not await takes(late, await make(early))
