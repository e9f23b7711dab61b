"""Tells a service of the operator's of what has happened: signed POSTs, tried again for a while.

Nothing waits for it: what cannot be delivered waits in memory, within bounds, and is lost when it
is too much, too old, or when this process ends.
"""

import asyncio
import json
import logging
import secrets
import stat
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp

from relay.errors import ConfigError
from relay.files import unreadable
from relay.supervision import Backoff
from transceiver.webhooksigning import read_secrets, signed

ENVIRONMENT = "ICELANE_WEBHOOK_SECRET"
MOST = 1000  # events that may wait
AT_ONCE = 4  # requests
TIMEOUT = 10.0  # seconds of a request
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0  # seconds between two tries
TRIES = 12  # over 24 minutes
GRACE = 2.0  # seconds for what is on its way when this process ends
_NEAR = 60.0  # seconds that clocks may differ
_GONE = 410  # the receiver wants none of it

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WebhookConfig:
    """Where events go.

    Attributes:
        url: Where they are POSTed to; it may have a password in it.
        secrets: What signs them.
    """

    url: str = field(repr=False)
    secrets: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def of(
        cls, url: str | None, file: Path | None, environment: Mapping[str, str]
    ) -> "WebhookConfig | None":
        """What an operator has asked for; None where he wants no webhook.

        Args:
            url: Where events go.
            file: Has the secrets.
            environment: May have them in place of the file.

        Raises:
            ConfigError: It cannot be had; the text says why.
        """
        if url is None:
            if file is not None:
                raise ConfigError("--webhook-secret-file needs --webhook URL")
            return None
        if not _is_usable(url):
            raise ConfigError("--webhook: write http://HOST... or https://HOST...")
        if file is not None:
            return cls(url, read_secrets(_read(file), f"webhook secret file {file}"))
        if ENVIRONMENT in environment:
            return cls(url, read_secrets(environment[ENVIRONMENT], ENVIRONMENT))
        raise ConfigError(
            f"--webhook needs a secret that signs: --webhook-secret-file FILE, or {ENVIRONMENT}"
        )


class Webhook:
    """Delivers events while its context is entered.

    Args:
        config: Where to.

    Attributes:
        counts: Events by what became of them: delivered, refused, given up, left out, lost.
    """

    def __init__(self, config: WebhookConfig) -> None:
        self.counts: Counter[str] = Counter()
        self._config = config
        self._waiting: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(AT_ONCE)
        self._is_well = True
        self._ahead = 0.0  # seconds that this clock is ahead of the receiver's
        self._http: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            trust_env=True, timeout=aiohttp.ClientTimeout(total=TIMEOUT)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        waiting = set(self._waiting)
        if waiting:
            await asyncio.wait(waiting, timeout=GRACE)
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        if lost := self.counts["lost"]:
            _log.error("%d webhooks are lost: they could not be delivered before the end", lost)
        await self._http.close()

    def send(self, kind: str, data: Mapping[str, Any]) -> None:
        """Have an event delivered; it is left out where too many wait.

        Args:
            kind: Its type.
            data: What it says.
        """
        if len(self._waiting) >= MOST:
            self.counts["left out"] += 1
            self._complain(f"{MOST} wait: one is left out")
            return
        event_id = f"evt_{secrets.token_hex(12)}"
        event = {
            "id": event_id,
            "object": "event",
            "created_at": int(time.time()),
            "type": kind,
            "data": data,
        }
        body = json.dumps(event, separators=(",", ":")).encode()
        task = asyncio.create_task(self._deliver(event_id, body))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _deliver(self, event_id: str, body: bytes) -> None:
        backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE, steady=float("inf"))
        try:
            for _ in range(TRIES):
                async with self._room:
                    trouble = await self._post(event_id, body)
                if trouble is None:
                    return
                self._complain(trouble)
                await asyncio.sleep(backoff.pause(0.0))
        except asyncio.CancelledError:
            self.counts["lost"] += 1
            raise
        self.counts["given up"] += 1
        _log.error("webhook %s is given up after %d tries", event_id, TRIES)

    async def _post(self, event_id: str, body: bytes) -> str | None:
        """Try to deliver; why it is to be tried again, in words without the URL."""
        headers = {"Content-Type": "application/json", "User-Agent": "icelane"}
        headers |= signed(self._config.secrets, event_id, time.time() - self._ahead, body)
        try:
            async with self._http.post(
                self._config.url, data=body, headers=headers, allow_redirects=False
            ) as response:
                status, date = response.status, response.headers.get("Date")
        except TimeoutError:
            return f"no answer within {TIMEOUT:.0f} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return f"it cannot be reached ({type(error).__name__})"
        if status == _GONE:
            self.counts["refused"] += 1
            _log.warning("webhook %s is not wanted: the receiver answers 410", event_id)
        elif not 200 <= status < 300:
            self._ahead = _ahead(date, time.time())
            return f"it answers {status}"
        else:
            self.counts["delivered"] += 1
            self._is_well = True
        return None

    def _complain(self, why: str) -> None:
        """Say what is wrong, once until it is right again."""
        if self._is_well:
            _log.warning("webhooks cannot be delivered: %s; they are tried again", why)
        self._is_well = False


def _ahead(date: str | None, now: float) -> float:
    """How many seconds this clock is ahead of one who refuses and says a time, if it matters.

    Receivers take signatures of the last five minutes (Standard Webhooks), so one who refuses may
    do so because of the time, and is given his own.
    """
    try:
        ahead = now - parsedate_to_datetime(date or "").timestamp()
    except (ValueError, OverflowError):
        return 0.0
    return ahead if abs(ahead) > _NEAR else 0.0


def _is_usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _read(file: Path) -> str:
    try:
        mode = file.stat().st_mode
        text = file.read_text("utf-8")
    except OSError as error:
        remedy = unreadable(error, missing="write the secret into it, and chmod 600 it")
        raise ConfigError(f"cannot read webhook secret file {file}: {remedy}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"webhook secret file {file} is not text (UTF-8)") from None
    if mode & stat.S_IROTH:
        raise ConfigError(f"everybody can read webhook secret file {file}: chmod 600 {file}")
    return text
