"""The settings of a transceiver, as an operator gives them: the section ``[transceiver]``."""

from typing import Annotated, ClassVar, Self

from pydantic import Field, PlainValidator

from relay.config import exposure
from relay.config.conflict import Conflict, ConflictError
from relay.config.fields import (
    Address,
    CollectorUrl,
    FilePath,
    HostAddress,
    Number,
    RedisUrl,
    Share,
    Text,
    WholeNumber,
    setting,
    tracing_ratio_setting,
    tracing_setting,
)
from relay.config.settings import Settings
from relay.wire.endpoint import Endpoint
from transceiver import DEFAULT_CAPACITY

WorkerCount = Annotated[WholeNumber, Field(ge=1, le=256)]

_LAST_PORT, _LAST_SLOT = 0xFFFF, 0xFFFFFF


DEFAULT_SLOT = 1


def _slot(value: object) -> int | None:
    if value == "auto":
        return None
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if type(number) is not int or not 0 <= number <= _LAST_SLOT:
        raise ValueError(f"must be a number from 0 to {_LAST_SLOT}, or auto")
    return number


Slot = Annotated[int | None, PlainValidator(_slot)]


class AnsweringSettings(Settings):
    """What every service that answers calls is told: who does, and where their ends are told."""

    backends: FilePath | None = setting(
        None, help="the table of back ends", metavar="FILE", shown="none"
    )
    records: FilePath | None = setting(
        None,
        help="where each call's end is recorded, in a line of JSON",
        metavar="FILE",
        shown="none",
        example="calls.jsonl",
    )
    webhook: Text | None = setting(
        None,
        help="where each record is POSTed as well, signed (Standard Webhooks)",
        metavar="URL",
        shown="nowhere",
        example="https://example.net/calls",
    )
    webhook_secret_file: FilePath | None = setting(
        None,
        help="what signs webhooks: lines of whsec_ and base64; or ICELANE_WEBHOOK_SECRET",
        metavar="FILE",
        shown="none",
        example="webhook.secret",
    )


class TransceiverSettings(AnsweringSettings):
    """See `transceiver.server.TransceiverConfig`, which they make."""

    section: ClassVar[str] = "transceiver"

    listen: HostAddress = setting(
        help="UDP address of media, as relays reach it",
        metavar="IP:PORT",
        example="192.0.2.2:5000",
    )
    control: Address = setting(
        help="address of the control API (HTTP, for signaling; internal)",
        metavar="IP:PORT",
        example="192.0.2.2:9000",
    )
    control_public: bool = setting(
        False, help="serve it where strangers may reach it, who could place calls and end them"
    )
    keys: FilePath = setting(help="the key file; `icelane keys new` makes one", metavar="FILE")
    cluster: Annotated[WholeNumber, Field(ge=0, le=0xFFFF)] = setting(
        1, help="number of the cluster", metavar="NUMBER"
    )
    slot: Slot = setting(
        None,
        help="number of this transceiver in it, or auto: whichever the registry in Redis gives",
        metavar="NUMBER",
        shown=f"auto with Redis, else {DEFAULT_SLOT}",
        example="auto",
    )
    generation: Annotated[WholeNumber, Field(ge=0, le=0xFF)] = setting(
        1, help="counts the owners of the slot; with Redis the registry counts", metavar="NUMBER"
    )
    redis: RedisUrl | None = setting(
        None,
        help="where the registry is, in which it announces itself: redis://HOST:PORT/DB",
        metavar="URL",
        shown="none",
    )
    region: Text | None = setting(
        None,
        help="where it is: calls are placed near to their ingress",
        metavar="NAME",
        shown="none",
        example="eu",
    )
    drain: Annotated[Number, Field(ge=0)] = setting(
        0.0,
        help="seconds for which calls may go on after SIGTERM, while no new ones come",
        metavar="SECONDS",
        shown="0",
    )
    capacity: Annotated[WholeNumber, Field(ge=1)] = setting(
        DEFAULT_CAPACITY, help="the most sessions at a time, of each worker", metavar="NUMBER"
    )
    workers: WorkerCount = setting(
        1,
        help="how many processes: slot and ports are the first one's, the others' count up",
        metavar="NUMBER",
    )

    backend: Text | None = setting(
        None,
        help="who answers calls: echo, ws://... or wss://..., or one of the table by its name",
        metavar="BACKEND",
        shown="the first of the table, or echo",
        example="echo",
    )
    tracing: CollectorUrl | None = tracing_setting()
    tracing_ratio: Share = tracing_ratio_setting()

    def each_worker(self) -> tuple[Self, ...]:
        """The settings of each worker, which is a transceiver of its own.

        Raises:
            ConflictError: The numbers do not reach for so many.
        """
        more = self.workers - 1
        conflicts = [
            Conflict(
                f"{self.workers} workers take {what} {first} to {first + more}, "
                f"and the last one is {last}",
                (f"start at a lower one: {{{name}}}", "have fewer {workers}"),
            )
            for name, what, first, last in (
                ("listen", "the ports", self.listen.port, _LAST_PORT),
                ("control", "the ports", self.control.port, _LAST_PORT),
                ("slot", "the slots", self.slot or 0, _LAST_SLOT),
            )
            if first + more > last
        ]
        conflicts += exposure.conflicts(
            self.control, "control", "the control API", allowed=self.control_public
        )
        if conflicts:
            raise ConflictError(*conflicts)
        return tuple(self._worker(index) for index in range(self.workers))

    def _worker(self, index: int) -> Self:
        changed = {
            "listen": Endpoint(self.listen.host, self.listen.port + index),
            "control": Endpoint(self.control.host, self.control.port + index),
            "slot": self._slot_of(index),
            "workers": 1,
        }
        return self.model_copy(update=changed)

    def _slot_of(self, index: int) -> int | None:
        if self.slot is None and self.redis is not None:
            return None
        return (DEFAULT_SLOT if self.slot is None else self.slot) + index
