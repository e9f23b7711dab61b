"""What is told of calls when they end: a line in a file, and a webhook."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from transceiver.opencalls import OpenCalls
from transceiver.records import RecordFile, record_of_dead
from transceiver.webhook import Webhook, WebhookConfig

ENDED = "icelane.call.ended"


class Ledger:
    """Tells of calls while its context is entered.

    Args:
        records: The file of records; None for none.
        webhook: Where else each record goes; None for nowhere.
        slot: Tells transceivers with the same file of records apart.

    Raises:
        ConfigError: On entering, when a file cannot be written.
    """

    def __init__(self, records: Path | None, webhook: WebhookConfig | None, slot: str) -> None:
        self._records = records
        self._config = webhook
        self._slot = slot
        self._stack = AsyncExitStack()
        self._file: RecordFile | None = None
        self._open: OpenCalls | None = None
        self._webhook: Webhook | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            if self._config is not None:
                self._webhook = await stack.enter_async_context(Webhook(self._config))
            if self._records is not None:
                self._file = RecordFile(self._records)
                name = f"{self._records.name}.open-{self._slot}"
                self._open = OpenCalls(self._records.with_name(name))
                stack.callback(self._open.close)
                for each in self._open.left:
                    self._tell(record_of_dead(each))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def began(self, call: Mapping[str, Any]) -> None:
        """A call has begun; see `records.brief_of`."""
        if self._open is not None:
            self._open.begin(call)

    def ended(self, record: Mapping[str, Any]) -> None:
        """A call has ended; see `records.record_of`."""
        self._tell(record)
        if self._open is not None:
            self._open.end(str(record["id"]))

    def _tell(self, record: Mapping[str, Any]) -> None:
        if self._file is not None:
            self._file.add(record)
        if self._webhook is not None:
            self._webhook.send(ENDED, record)
