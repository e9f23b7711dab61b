"""Attaching the program to interfaces by pinned links."""

import errno
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from relay.dataplane.errors import AttachError
from relay.dataplane.kernel import bpfsys, kinds, netlink, rtnetlink
from relay.dataplane.kernel.config import Mode
from relay.dataplane.kernel.drivererrors import remedy
from relay.dataplane.kernel.existing import XDP_FLAGS, ExistingProgram
from relay.dataplane.kernel.pins import Pins, detach
from relay.errors import DataplaneError

_XDP_FLAGS_UPDATE_IF_NOEXIST = 1  # linux/if_link.h


def interface_index(name: str) -> int:
    """The index of an interface in this network namespace.

    Raises:
        DataplaneError: There is none of that name.
    """
    try:
        return socket.if_nametoindex(name)
    except OSError:
        raise DataplaneError(
            f"There is no interface {name} here; `ip link` lists those of this namespace."
        ) from None


def attached_mode(interface: str) -> Mode | None:
    """How an interface runs an XDP program, or None when it runs none."""
    attached = rtnetlink.attached_program(interface_index(interface))
    return Mode(attached.mode) if attached and attached.mode in XDP_FLAGS else None


def _require_fit(interfaces: Sequence[str]) -> None:
    """Refuse interfaces on which the program would lose packets, or never meet one."""
    indexes = [interface_index(name) for name in interfaces]
    if refused := kinds.unfit(rtnetlink.links(), indexes, dict(socket.if_nameindex())):
        raise DataplaneError(" ".join(refused))


class Attacher:
    """Makes a set of interfaces run one program, or, when one fails, leaves all as they were.

    Args:
        pins: The instance, whose links these are.
        program_fd: The program.
        old_program_fd: The one that it replaces, if the instance runs already.
        force: Whether somebody else's program may be detached.
        prove: Called when interfaces have been attached natively; it raises AttachError where that
            comes to nothing.
    """

    def __init__(
        self,
        pins: Pins,
        program_fd: int,
        old_program_fd: int | None,
        *,
        force: bool = False,
        prove: Callable[[], None] = lambda: None,
    ) -> None:
        self._pins = pins
        self._program_fd = program_fd
        self._old_program_fd = old_program_fd
        self._force = force
        self._prove = prove

    def attach(self, interfaces: Sequence[str], mode: Mode) -> list[str]:
        """Run the program on all of them.

        Those that run the older program get the new one in one step, in the mode they are in. The
        others are attached in one mode, because the kernel cannot redirect a packet from a
        native program to an interface that runs a generic one.

        Returns:
            Warnings.

        Raises:
            AttachError: A driver refuses the mode, or takes nothing that is sent in it.
            DataplaneError: An interface is missing, is of a kind that cannot run it, or runs
                somebody else's program.
        """
        _require_fit(interfaces)
        with ExitStack() as held, ExitStack() as undo:
            fresh = [name for name in interfaces if not self._update(name, undo)]
            detached = [self._detach(name, held, undo) for name in fresh] if self._force else []
            running = {attached_mode(name) for name in interfaces if name not in fresh}
            if mode is Mode.AUTO and running == {Mode.GENERIC}:
                mode = Mode.GENERIC
            warnings = [*filter(None, detached), *self._attach_fresh(fresh, mode, undo)]
            if len({attached_mode(name) for name in interfaces}) > 1:
                raise DataplaneError(
                    "Some interfaces would run the program in native mode and some in generic "
                    "mode, and packets could not pass between them. Unload the instance with "
                    "`icelane relay unload`, then load it in one mode."
                )
            undo.pop_all()
        return warnings

    def _detach(self, interface: str, held: ExitStack, undo: ExitStack) -> str | None:
        """Detach another program from an interface; a warning that says so, or None for none."""
        other = ExistingProgram.on(interface, interface_index(interface))
        if other is None:
            return None
        held.callback(other.close)
        other.detach()
        undo.callback(other.reattach)
        return (
            f"{interface} ran another XDP program (number {other.id}), which --force has detached."
        )

    def _attach_fresh(self, interfaces: list[str], mode: Mode, undo: ExitStack) -> list[str]:
        first = Mode.NATIVE if mode is Mode.AUTO else mode
        with ExitStack() as attempt:
            try:
                for name in interfaces:
                    self._create(name, first, attempt)
                if interfaces and first is Mode.NATIVE:
                    self._prove()
            except AttachError as error:
                if mode is not Mode.AUTO:
                    raise
                reason = str(error)
            else:
                undo.push(attempt.pop_all())
                return []
        for name in interfaces:
            self._create(name, Mode.GENERIC, undo)
        return [f"{reason} All interfaces run it in generic mode, which is several times slower."]

    def _update(self, interface: str, undo: ExitStack) -> bool:
        """Replace the program of an interface's link; False when it has none that works."""
        path = self._pins.link(interface)
        index = interface_index(interface)
        # If not, its interface has gone or moved away, and this is another of the same name.
        if self._pins.linked().get(interface) != index:
            return False
        with bpfsys.pinned(path) as fd:
            bpfsys.link_update(fd, self._program_fd)
        undo.callback(self._restore, interface)
        return True

    def _restore(self, interface: str) -> None:
        if self._old_program_fd is None:
            return
        with bpfsys.pinned(self._pins.link(interface)) as fd:
            bpfsys.link_update(fd, self._old_program_fd)

    def _create(self, interface: str, mode: Mode, undo: ExitStack) -> None:
        index = interface_index(interface)
        try:
            fd = bpfsys.link_create_xdp(self._program_fd, index, XDP_FLAGS[mode])
        except OSError as error:
            raise self._explain(interface, mode, error) from None
        try:
            path = self._pins.link(interface)
            known = path.exists()  # of an interface of that name that has gone
            self._pins.replace(path, fd)
            undo.callback(detach, path, forget=not known)
        finally:
            os.close(fd)  # the pin holds the link; without one, this detaches the program

    def _explain(self, interface: str, mode: Mode, error: OSError) -> DataplaneError:
        if error.errno in (errno.EBUSY, errno.EEXIST):
            return DataplaneError(
                f"{interface} runs another XDP program already. If it may go, --force detaches it."
            )
        if error.errno == errno.EPERM:
            return DataplaneError(f"Attaching a program to {interface} needs root.")
        reason = self._driver_reason(interface, mode) or str(error.strerror)
        reason += f" ({remedy(interface, reason)})"
        return AttachError(f"The driver of {interface} refuses {mode} mode: {reason}.")

    def _driver_reason(self, interface: str, mode: Mode) -> str | None:
        """The driver's own words, which only the older way to attach, over netlink, gives."""
        index = interface_index(interface)
        try:
            netlink.set_program(
                index, self._program_fd, XDP_FLAGS[mode] | _XDP_FLAGS_UPDATE_IF_NOEXIST
            )
        except OSError as error:
            return str(error.strerror)
        # It works now: detach the program again, the caller reports the first refusal.
        netlink.set_program(index, -1, XDP_FLAGS[mode])
        return None


def update_links(pins: Pins, program: Path) -> None:
    """Let all interfaces of an instance run a pinned program from the next packet on.

    One that has gone is passed over: when it is back, `reattach` attaches what the others run.

    Raises:
        DataplaneError: There is no such program: another version loaded the instance.
    """
    if not program.exists():
        raise DataplaneError(
            f"Another version of Icelane loaded {pins.instance}: it has no program {program.name}. "
            f"At a quiet time, run `icelane relay unload --instance {pins.instance}`."
        )
    with bpfsys.pinned(program) as program_fd:
        for path in pins.links().values():
            with bpfsys.pinned(path) as link:
                try:
                    bpfsys.link_update(link, program_fd)
                except OSError as error:
                    if error.errno != errno.ENOLINK:
                        raise
