"""Webhooks over real HTTP: delivered, tried again, given up, and never waited for."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from openai import OpenAI

from relay.errors import ConfigError
from relay.listen import serve_http
from relay.wire.endpoint import Endpoint
from tests.transceiver.muxbench import Until
from transceiver import webhook as webhooks
from transceiver.webhook import ENVIRONMENT, Webhook, WebhookConfig
from transceiver.webhooksigning import read_secrets

ANYWHERE = Endpoint("127.0.0.1", 0)
SECRET = "whsec_" + base64.b64encode(bytes(32)).decode()


@dataclass
class Receiver:
    """The operator's service.

    Attributes:
        answers: Statuses of its next answers; then 204.
        ahead: How many seconds its clock is ahead; None if it looks at no time.
        thinking: Set while it answers at all.
        got: Headers and body of each request.
    """

    address: Endpoint = ANYWHERE
    answers: list[int] = field(default_factory=list)
    ahead: float | None = None
    thinking: asyncio.Event = field(default_factory=asyncio.Event)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def config(self) -> WebhookConfig:
        url = f"http://{self.address}/hook?token=private"
        return WebhookConfig(url, read_secrets(SECRET, "it"))

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        await self.thinking.wait()
        status, headers = self.answers.pop(0) if self.answers else 204, {}
        if self.ahead is not None:
            headers["Date"] = formatdate(now := time.time() + self.ahead, usegmt=True)
            late = abs(now - int(request.headers["webhook-timestamp"]))
            status = 400 if late > 300 else status  # as Standard Webhooks has it
        return web.Response(status=status, headers={"Location": "http://127.0.0.1:9/"} | headers)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    made.thinking.set()
    app = web.Application()
    app.router.add_post("/hook", made.take)
    async with serve_http(app, made.address, "a receiver") as address:
        made.address = address
        yield made
        made.thinking.set()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(webhooks, "LONGEST_PAUSE", 0.02)


async def test_an_event_is_one_that_the_official_package_unwraps(
    receiver: Receiver, until: Until
) -> None:
    async with Webhook(receiver.config) as webhook:
        webhook.send("icelane.call.ended", {"id": "rtc_1", "reason": "hung up"})
        await until(lambda: webhook.counts["delivered"] == 1)
    ((headers, body),) = receiver.got
    event: Any = OpenAI(api_key="any", webhook_secret=SECRET).webhooks.unwrap(body, headers)
    assert (event.type, event.object, event.id) == (
        *("icelane.call.ended", "event"),
        headers["webhook-id"],
    )
    assert json.loads(body)["data"] == {"id": "rtc_1", "reason": "hung up"}
    assert headers["Content-Type"] == "application/json"


async def test_what_fails_is_tried_again_under_its_id(
    receiver: Receiver, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers = [500, 302, 429]
    async with Webhook(receiver.config) as webhook:
        webhook.send("x", {})
        await until(lambda: webhook.counts["delivered"] == 1)
    assert len(receiver.got) == 4
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert [each.message for each in caplog.records if "webhook" in each.message] == [
        "webhooks cannot be delivered: it answers 500; they are tried again"
    ]
    assert "private" not in caplog.text


@pytest.mark.parametrize("ahead", [-86_400.0, -302.0, 302.0, 86_400.0])
async def test_a_receiver_with_another_clock_is_told_its_own_time(
    receiver: Receiver, until: Until, ahead: float
) -> None:
    receiver.ahead = ahead
    async with Webhook(receiver.config) as webhook:
        webhook.send("x", {})
        await until(lambda: webhook.counts["delivered"] == 1)
        webhook.send("x", {})
        await until(lambda: webhook.counts["delivered"] == 2)
    assert len(receiver.got) == 3  # only the first one was refused


@pytest.mark.parametrize("date", [None, "", "yesterday", "Fri, 31 Dec 99999 00:00:00 GMT"])
def test_who_says_no_time_changes_nothing(date: str | None) -> None:
    assert webhooks._ahead(date, 1.8e9) == 0.0


async def test_one_that_is_not_wanted_is_not_tried_again(receiver: Receiver, until: Until) -> None:
    receiver.answers = [410]
    async with Webhook(receiver.config) as webhook:
        webhook.send("x", {})
        await until(lambda: webhook.counts["refused"] == 1)
    assert len(receiver.got) == 1


async def test_one_that_nobody_takes_is_given_up(
    until: Until, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(webhooks, "TRIES", 3)
    nowhere = WebhookConfig("http://127.0.0.1:9/private", read_secrets(SECRET, "it"))
    async with Webhook(nowhere) as webhook:
        webhook.send("x", {})
        await until(lambda: webhook.counts["given up"] == 1)
    assert "private" not in caplog.text
    assert "private" not in repr(nowhere)


async def test_a_receiver_that_hangs_holds_nobody_up_and_fills_no_memory(
    receiver: Receiver, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MOST", 10)
    monkeypatch.setattr(webhooks, "GRACE", 0.05)
    receiver.thinking.clear()
    async with Webhook(receiver.config) as webhook:
        for number in range(15):
            webhook.send("x", {"number": number})
        assert webhook.counts["left out"] == 5
        await until(lambda: len(receiver.got) == webhooks.AT_ONCE)
    assert webhook.counts["lost"] == 10


async def test_what_is_on_its_way_at_the_end_is_waited_for(receiver: Receiver) -> None:
    async with Webhook(receiver.config) as webhook:
        webhook.send("x", {})
    assert webhook.counts == {"delivered": 1}


def private(path: Path, text: str = SECRET, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_secret_is_in_a_file_or_in_the_environment(tmp_path: Path) -> None:
    url, file = "https://user:password@example.net/hook", private(tmp_path / "secret")
    configured = WebhookConfig.of(url, file, {})
    assert configured == WebhookConfig.of(url, None, {ENVIRONMENT: SECRET})
    assert configured is not None
    assert configured.secrets == (bytes(32),)
    assert WebhookConfig.of(None, None, {ENVIRONMENT: SECRET}) is None


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda _: ("ftp://x", None, {}), "--webhook: write http"),
        (lambda _: ("http://x:99999", None, {}), "--webhook: write http"),
        (lambda _: ("http://x", None, {}), "needs a secret that signs"),
        (lambda tmp: (None, tmp / "x", {}), "needs --webhook URL"),
        (lambda tmp: ("http://x", tmp / "none", {}), "write the secret into it"),
        (lambda tmp: ("http://x", private(tmp / "x", mode=0o644), {}), "chmod 600"),
        (lambda tmp: ("http://x", private(tmp / "x", "short"), {}), "openssl rand"),
        (lambda _: ("http://x", None, {ENVIRONMENT: "short"}), ENVIRONMENT),
    ],
)
def test_what_cannot_be_used_is_said_with_its_remedy(
    tmp_path: Path, make: Callable[[Path], Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        WebhookConfig.of(*make(tmp_path))
