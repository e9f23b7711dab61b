"""Doing what the session table says: its commands, in their order."""

import logging
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from relay.core.flow import (
    Alarm,
    Announce,
    CloseUpstream,
    Command,
    Flow,
    Forget,
    Install,
    Instant,
    NoteEdge,
    OpenUpstream,
    Recall,
    Remove,
    SendToClient,
    SendToTransceiver,
    State,
    Store,
)
from relay.core.flowtuple import Source
from relay.core.session import SessionTable
from relay.core.throttle import Throttle
from relay.dataplane.errors import DataplaneFull
from relay.dataplane.interface import Dataplane
from relay.errors import BindError, DataplaneError
from relay.wire.endpoint import Endpoint

if TYPE_CHECKING:
    from relay.forwarding.ends import Ends
    from relay.mirror.mirror import Mirror

_log = logging.getLogger(__name__)


def now() -> Instant:
    """This moment."""
    return Instant(time.monotonic(), time.time())


class Executor:
    """Executes commands, and tells the table what became of them.

    A command that fails costs its own flow what follows of it, and nobody else anything.

    Args:
        table: The session table.
        ends: The sockets.
        dataplane: Gives what forwards confirmed flows right now.
        mirror: Where flows are written to, if there is one.
        ask: Asks others for the flow of a client, from which a datagram came, where there is none.
    """

    def __init__(
        self,
        table: SessionTable,
        ends: "Ends",
        dataplane: Callable[[], Dataplane],
        mirror: "Mirror | None",
        ask: Callable[[Source, bytes], None] = lambda *_: None,
    ) -> None:
        self._table = table
        self._ends = ends
        self._dataplane = dataplane
        self._mirror = mirror
        self._ask = ask
        self._throttle = Throttle(time.monotonic)
        self._retired = False

    def retire(self) -> None:
        """Execute nothing any more: another agent has the flows."""
        self._retired = True

    def execute(
        self, commands: Iterable[Command], *, received: bytes | None = None, tos: int = 0
    ) -> None:
        """Execute commands in their order.

        Args:
            commands: The commands.
            received: The datagram that they come of, if it is one.
            tos: Its DSCP and ECN. It keeps them where it is passed on, which is the same object;
                what the relay says itself has 0.
        """
        if self._retired:
            return
        failed: set[Flow] = set()
        is_announced = False
        for command in commands:
            if failed and getattr(command, "flow", None) in failed:
                continue
            match command:  # by class alone: taking the fields out here takes twice as long
                case SendToTransceiver():
                    data = command.data
                    self._ends.send_to_transceiver(
                        command.flow, data, tos if data is received else 0
                    )
                case Announce():
                    self._announce(command)
                    is_announced = True
                case SendToClient():
                    data = command.data
                    self._ends.send_to_client(command.flow, data, tos if data is received else 0)
                case OpenUpstream() | Install():
                    if not self._begin(command, is_announced=is_announced):
                        failed.add(command.flow)
                case CloseUpstream() | Remove():
                    self._end(command)
                case _:
                    self._tell(command)

    def _begin(self, command: OpenUpstream | Install, *, is_announced: bool) -> bool:
        if isinstance(command, OpenUpstream):
            return self._open(command.flow)
        if is_announced:
            # From now on the kernel forwards, and at once: what tells the transceiver whose those
            # packets are must not wait for others of its batch.
            self._ends.flush()
        return self._install(command.flow)

    def _announce(self, command: Announce) -> None:
        told = self._table.announcement(command)
        if told is not None:
            self._ends.send_to_transceiver(command.flow, told, 0)

    def _end(self, command: CloseUpstream | Remove) -> None:
        if isinstance(command, CloseUpstream):
            self._ends.close(command.flow)
            return
        try:
            self._dataplane().remove(command.flow.addresses)
        except DataplaneError as error:
            self.alarm("a flow could not be removed from the dataplane: %s", error)

    def alarm(self, text: str, reason: object) -> None:
        """Log an error, once a second for each text."""
        if self._throttle.allows(text):
            _log.error(f"{text}%s", reason, self._throttle.withheld(text))  # few texts

    def _tell(self, command: Store | Forget | Recall | NoteEdge | Alarm) -> None:
        if isinstance(command, Alarm):
            self.alarm("%s", command.text)
            return
        if isinstance(command, NoteEdge):
            self._note(command.address)
            return
        if self._mirror is None:
            if isinstance(command, Recall):
                self._ask(command.source, command.data)
            return
        match command:
            case Store(flow) if flow.claimed:
                self._mirror.refresh(flow.addresses, flow.epoch, flow.introduced)
            case Store(flow):
                self._mirror.claim(flow.addresses, flow.epoch, flow.introduced)
            case Forget(flow):
                self._mirror.release(flow.addresses, flow.epoch)
            case Recall(source, data):
                self._mirror.recall(source, data)

    def _note(self, edge: Endpoint) -> None:
        try:
            self._dataplane().note_edge(edge)
        except (DataplaneError, OSError) as error:
            self.alarm("an edge has the rate of one client: %s", error)

    def _open(self, flow: Flow) -> bool:
        while True:
            try:
                opened = self._ends.open(flow)
            except BindError as error:
                self.alarm("no upstream socket: %s", error)
                self.execute(self._table.lifecycle.give_up(flow, now()))
                return False
            if opened:
                return True
            if flow.state is State.CONFIRMED:
                self.alarm(
                    "another process has the upstream port %s of a flow", flow.addresses.upstream
                )
            if not self._table.lifecycle.change_port(flow, now()):
                return False

    def _install(self, flow: Flow) -> bool:
        try:
            self._dataplane().install(flow.addresses)
        except DataplaneFull as error:
            self.alarm("a new flow was refused: %s", error)
        except DataplaneError as error:
            self.alarm("a new flow could not be installed: %s", error)
        else:
            self._ends.confirm(flow)
            self.execute(self._table.lifecycle.installed(flow, now()))
            return True
        self.execute(self._table.lifecycle.not_installed(flow, now()))
        return False
