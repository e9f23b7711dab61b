"""What an agent of the XDP dataplane needs privileges for, in one place.

All else it does on maps that are open, which takes none. Either this process does it itself, being
root (`AsRoot`), or a process beside it that is (`relay.run.helper`).
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from socket import if_nameindex
from typing import Protocol

from relay.dataplane.kernel import (
    bpfsys,
    ingressesabove,
    kinds,
    loader,
    loforwarding,
    neighbours,
    owner,
    proof,
    renames,
    rtnetlink,
    traces,
    unseen,
)
from relay.dataplane.kernel.attach import update_links
from relay.dataplane.kernel.config import LoadConfig, LoadReport, Mode
from relay.dataplane.kernel.pins import Instance, Pins, detach, locked, table_id
from relay.dataplane.kernel.reattach import reattach
from relay.dataplane.kernel.txports import find_tx_ports
from relay.errors import DataplaneError

#: The number of a table that is there and not the one that was: which cannot be told now.
UNTOLD = 0


class Privileged(Instance, Protocol):
    """An instance for an agent. Its methods may block, for as long as the kernel verifies."""

    def trouble(self) -> str | None:
        """Why none of this can be done any more; None while it can."""

    def is_loaded(self) -> bool:
        """Whether the program is loaded, as far as this user may see."""

    def require_not_elsewhere(self) -> None:
        """Make sure that no relay in another network namespace has it, as far as is seen.

        Raises:
            DataplaneError: One has; the text says what to do.
        """

    def table(self) -> int | None:
        """The kernel's number of the table of flows, as far as this user may see.

        It is another one after the program was unloaded and loaded anew; None where it is not
        loaded, or in another network namespace; `UNTOLD` where it is another one that cannot be
        opened now, for want of a free file.

        Raises:
            DataplaneError: It cannot be said, and was never before.
        """

    def has(self, name: str) -> bool:
        """Whether there is a map of this name."""

    def load(self, config: LoadConfig) -> LoadReport:
        """Load the program and attach it, or keep the one that runs; see `loader.load`.

        Raises:
            DataplaneError: That was not possible and nothing changed; the text says what to do.
        """

    def unload(self) -> bool:
        """Detach the program and remove its maps, flows and all; says whether it was loaded.

        Raises:
            DataplaneError: This is not root.
        """

    def open_steer_sockets(self) -> int:
        """The map of the sockets that packets are steered to, open; the caller closes it.

        Raises:
            OSError: The kernel refuses.
        """

    def forward(self, *, on: bool) -> None:
        """Let the program forward from the next packet on, or pass all up.

        Raises:
            DataplaneError: Another version loaded the instance.
        """

    def follow_interfaces(self, *, on: bool, mode: Mode) -> list[str]:
        """Follow those that were renamed, and attach the program to those that came back.

        Args:
            on: Whether it forwards there, or passes all up.
            mode: How it is attached.

        Returns:
            What the administrator should know.

        Raises:
            DataplaneError: One cannot run it; the text says why.
            OSError: The kernel refuses.
        """

    def run_generic(self, *, on: bool) -> None:
        """Attach the program in generic mode; between the two, everything goes to the agent."""

    def refusing(self, asked: Mapping[str, int]) -> list[str]:
        """Those of some interfaces whose drivers take nothing; see `proof.find_refusing`."""

    def mend_forwarding(self) -> list[str]:
        """See `loforwarding.mend`."""

    def probe_neighbours(self) -> None:
        """Let the kernel probe neighbours to whom the program may send; see `neighbours`.

        Raises:
            DataplaneError: The kernel does not tell them.
        """

    def unseen(self) -> list[str]:
        """What is amiss about this host that nobody here can mend, in words."""


class AsRoot(Pins):
    """What this process does itself."""

    def __init__(self, instance: str) -> None:
        super().__init__(instance)
        self._table: int | None = UNTOLD

    def trouble(self) -> str | None:
        """See `Privileged.trouble`."""
        return None

    def is_loaded(self) -> bool:
        """See `Privileged.is_loaded`."""
        try:
            return self.loaded()
        except PermissionError:
            return False

    def require_not_elsewhere(self) -> None:
        """See `Privileged.require_not_elsewhere`."""
        with suppress(PermissionError):
            owner.require_not_elsewhere(self)

    def table(self) -> int | None:
        """See `Privileged.table`.

        While it cannot be said, as without a free file, it is the one that it was.
        """
        try:
            owner.require_not_elsewhere(self)
            self._table = table_id(self)
        except (PermissionError, DataplaneError):
            self._table = None
        except OSError as error:
            if self._table == UNTOLD:
                raise DataplaneError(
                    f"Whether {self.instance} is loaded cannot be told: {error.strerror}."
                ) from None
        return self._table

    def has(self, name: str) -> bool:
        """See `Privileged.has`."""
        return name in self.maps()

    def load(self, config: LoadConfig) -> LoadReport:
        """See `Privileged.load`."""
        report = loader.load(config)
        return replace(report, warnings=(*report.warnings, *self._above()))

    def unload(self) -> bool:
        """See `Privileged.unload`."""
        loaded = bool(self.maps() or self.links())
        try:
            self.remove()
        except PermissionError:
            raise DataplaneError("Unloading the program needs root.") from None
        return loaded

    def open_steer_sockets(self) -> int:
        """See `Privileged.open_steer_sockets`."""
        return bpfsys.obj_get(self.steer_sockets)

    def forward(self, *, on: bool) -> None:
        """See `Privileged.forward`."""
        with locked():
            update_links(self, self.running(on=on))

    def follow_interfaces(self, *, on: bool, mode: Mode) -> list[str]:
        """See `Privileged.follow_interfaces`."""
        traces.end_left(self)
        with locked():  # a loader may be faster
            return renames.follow(self) + reattach(self, self.running(on=on), mode)

    def run_generic(self, *, on: bool) -> None:
        """See `Privileged.run_generic`."""
        with locked():
            for link in self.links().values():
                detach(link, forget=False)
            reattach(self, self.running(on=on), Mode.GENERIC)

    def refusing(self, asked: Mapping[str, int]) -> list[str]:
        """See `Privileged.refusing`."""
        return proof.find_refusing(self, asked)

    def mend_forwarding(self) -> list[str]:
        """See `Privileged.mend_forwarding`."""
        return loforwarding.mend()

    def probe_neighbours(self) -> None:
        """See `Privileged.probe_neighbours`."""
        try:
            ports = find_tx_ports([index for index in self.linked().values() if index])
        except OSError as error:
            raise DataplaneError(
                f"The kernel's neighbours cannot be probed: {error.strerror}."
            ) from None
        neighbours.probe_stale({port.fib_index for port in ports})

    def unseen(self) -> list[str]:
        """See `Privileged.unseen`."""
        attached, names = self.linked().values(), dict(if_nameindex())
        unfit = kinds.unfit(rtnetlink.links(), attached, names)
        return [*unseen.look(), *unfit, *self._above()]

    def _above(self) -> list[str]:
        with suppress(DataplaneError, OSError):  # one of an older version, or it goes just now
            return ingressesabove.look(self)
        return []
