"""The agent's side: what takes privileges is asked of the helper; maps are used by descriptor."""

import errno
import os
import select
import socket
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from relay.dataplane.kernel import bpfsys, loforwarding
from relay.dataplane.kernel.config import LoadConfig, LoadReport, Mode, Outcome
from relay.dataplane.kernel.grace import GracePeriod
from relay.dataplane.kernel.pinnedmap import HeldMap, PinnedMap
from relay.dataplane.kernel.privileged import UNTOLD
from relay.dataplane.kernel.ticks import Ticks
from relay.errors import BindError, DataplaneError
from relay.run.helper import wire

# A kernel that verifies on a busy machine, behind another one who loads, takes a minute or two.
_LIMIT = 240.0  # seconds
_FLOWS = "flow_records"
# What the kernel says when it sends a message not now, and nothing of it.
_UNSENT = (errno.EMSGSIZE, errno.ENOBUFS, errno.ENOMEM)
ENDED = (
    "The relay's privileged helper has ended: what is loaded goes on forwarding, but interfaces "
    "that come back are not attached, and nothing is loaded or unloaded, until the relay is "
    "started again."
)


class _NoFileError(DataplaneError):
    """There is no free file for a map that is there."""


@dataclass(slots=True)
class _Held:
    """A map that the helper has opened.

    Attributes:
        fd: The map.
        pin: Its pin, as a file that can only be asked about.
        types: The type information of its entries.
    """

    fd: int
    pin: int
    types: bytes

    def is_pinned(self) -> bool:
        """Whether that pin is still there: it has a name until it is removed or replaced."""
        return os.fstat(self.pin).st_nlink > 0

    def close(self) -> None:
        os.close(self.fd)
        os.close(self.pin)


class Helper:
    """A helper as `relay.dataplane.kernel.privileged.Privileged`; any thread may ask it.

    Args:
        connection: A connected Unix socket of SOCK_SEQPACKET, which it closes.
        instance: The name of the instance that it works on.
        pid: The helper's process, a child of this one; 0: it is somebody else's.
    """

    def __init__(self, connection: socket.socket, instance: str, pid: int = 0) -> None:
        connection.settimeout(_LIMIT)
        self.instance = instance
        self._connection = connection
        self._pid = pid
        self._asking = threading.Lock()
        self._holding = threading.Lock()
        self._ended = False
        self._maps: dict[str, _Held] = {}

    def close(self) -> None:
        """Let it end."""
        with self._asking:
            self._end()
        with self._holding:
            for held in self._maps.values():
                held.close()
            self._maps.clear()

    def trouble(self) -> str | None:
        """See `Privileged.trouble`."""
        with self._asking:
            if not self._ended:
                asked = select.poll()
                asked.register(self._connection, select.POLLIN)
                if asked.poll(0):  # it says nothing unless it is asked
                    self._end()
            self._reap()
            return ENDED if self._ended else None

    # Maps

    def opened(self, name: str) -> PinnedMap:
        """See `Instance.opened`."""
        with self._holding, _told_of_files(name):
            held = self._held(name)
            return PinnedMap(HeldMap(os.dup(held.fd), held.types))

    def has(self, name: str) -> bool:
        """See `Privileged.has`.

        Raises:
            DataplaneError: There is no free file to see that.
        """
        with self._holding, _told_of_files(name):
            try:
                return bool(self._held(name))
            except _NoFileError:
                raise
            except DataplaneError:
                return False

    def table(self) -> int | None:
        """See `Privileged.table`.

        Once the helper has ended, one that was there and is not any more is taken for unloaded.
        """
        with self._holding, suppress(DataplaneError):
            try:
                with _told_of_files(_FLOWS):
                    return bpfsys.map_info(self._held(_FLOWS).fd).id
            except _NoFileError:
                return UNTOLD if self.is_loaded() else None
        return None

    def _held(self, name: str) -> _Held:
        held = self._maps.get(name)
        if held is not None and held.is_pinned():
            return held
        _, (fd, pin, types) = self._ask("open", 3, name=name)
        try:
            data = bpfsys.btf_read(types)
        finally:
            os.close(types)
        if held is not None:
            held.close()
        self._maps[name] = _Held(fd, pin, data)
        return self._maps[name]

    def open_steer_sockets(self) -> int:
        """See `Privileged.open_steer_sockets`."""
        _, (fd,) = self._ask("steer_sockets", 1)
        return fd

    def read_ticks(self) -> Ticks:
        """See `Instance.read_ticks`."""
        (tick, ticks, moment), _ = self._ask("read_ticks")
        return Ticks(tick, ticks, moment)

    def grace_period(self) -> GracePeriod:
        """See `Instance.grace_period`."""
        _, (inner, outer) = self._ask("grace_period", 2)
        return GracePeriod(inner, outer)

    # The instance

    def is_loaded(self) -> bool:
        """See `Privileged.is_loaded`."""
        return bool(self._ask("is_loaded")[0])

    def require_not_elsewhere(self) -> None:
        """See `Privileged.require_not_elsewhere`."""
        self._ask("require_not_elsewhere")

    def linked(self) -> dict[str, int]:
        """See `Instance.linked`."""
        return dict(self._ask("linked")[0])

    def load(self, config: LoadConfig) -> LoadReport:
        """Load what the helper was configured with, with these keys; see `Privileged.load`."""
        keys = [[*name, key.hex()] for name, key in config.settings.route_keys.items()]
        remote = sorted(config.settings.remote)
        told, _ = self._ask("load", route_keys=keys, remote=remote, pass_all=config.pass_all)
        fields = {"outcome": Outcome(told["outcome"]), "warnings": tuple(told["warnings"])}
        return LoadReport(**{**told, **fields})

    def unload(self) -> bool:
        """See `Privileged.unload`."""
        return bool(self._ask("unload")[0])

    def forward(self, *, on: bool) -> None:
        """See `Privileged.forward`."""
        self._ask("forward", on=on)

    def follow_interfaces(self, *, on: bool, mode: Mode) -> list[str]:  # noqa: ARG002  # it knows the mode
        """See `Privileged.follow_interfaces`."""
        return list(self._ask("follow_interfaces", on=on)[0])

    def run_generic(self, *, on: bool) -> None:
        """See `Privileged.run_generic`."""
        self._ask("run_generic", on=on)

    def refusing(self, asked: Mapping[str, int]) -> list[str]:
        """See `Privileged.refusing`."""
        return list(self._ask("refusing", asked=dict(asked))[0]) if asked else []

    # The host

    def mend_forwarding(self) -> list[str]:
        """See `Privileged.mend_forwarding`."""
        return list(self._ask("mend_forwarding")[0]) if loforwarding.is_off() else []

    def probe_neighbours(self) -> None:
        """See `Privileged.probe_neighbours`."""
        self._ask("probe_neighbours")

    def unseen(self) -> list[str]:
        """See `Privileged.unseen`."""
        return list(self._ask("unseen")[0])

    # Sockets

    def open_udp_socket(self, _: int, host: str) -> socket.socket:
        """See `relay.forwarding.steered.open_udp_socket`."""
        return self._socket("udp_socket", host)

    def open_icmp_socket(self, host: str) -> socket.socket:
        """See `relay.forwarding.icmp.open_icmp_socket`."""
        return self._socket("icmp_socket", host)

    def filter_programs(self, _: Collection[int]) -> "HelpedPrograms":
        """Programs for an agent's sockets; which sides are outside, the helper knows."""
        return HelpedPrograms(self)

    def filter(self, family: int, *, to_transceivers: bool) -> tuple[int, int]:
        """The map of what sockets' filters count, and the filter for sockets of a kind, open."""
        v6 = family == socket.AF_INET6
        _, (counts, program) = self._ask("filter", 2, v6=v6, to_transceivers=to_transceivers)
        return counts, program

    def _socket(self, what: str, host: str) -> socket.socket:
        _, (fd,) = self._ask(what, 1, host=host)
        return socket.socket(fileno=fd)

    def _ask(self, do: str, files: int = 0, /, **request: Any) -> tuple[Any, list[int]]:
        """What it answers, and the descriptors that come with it.

        Raises:
            BindError: A socket cannot be had.
            DataplaneError: It says why it does not, or it has ended.
            OSError: The kernel refuses.
        """
        with self._asking:
            answer, opened = self._exchange({"do": do, **request}, files)
        if "value" in answer:
            return answer["value"], opened
        if "bind" in answer:
            raise BindError(answer["bind"])
        if answer.get("errno"):
            raise OSError(answer["errno"], answer["error"])
        raise DataplaneError(answer["error"])

    def _exchange(self, request: dict[str, Any], files: int) -> tuple[dict[str, Any], list[int]]:
        if self._ended:
            raise DataplaneError(ENDED)
        try:
            wire.send(self._connection, request)
        except OSError as error:
            if error.errno in _UNSENT:
                raise
            raise self._ended_now() from None
        try:
            answer, opened = wire.receive(self._connection)
        except (EOFError, OSError, ValueError) as error:
            # That its files are lost costs this answer: where messages begin is known.
            if isinstance(error, OSError) and error.errno == errno.EMFILE:
                raise
            raise self._ended_now() from None
        if len(opened) != (files if "value" in answer else 0):
            for fd in opened:
                os.close(fd)
            raise self._ended_now()
        return answer, opened

    def _ended_now(self) -> DataplaneError:
        self._end()
        return DataplaneError(ENDED)

    def _end(self) -> None:
        self._ended = True
        self._connection.close()
        self._reap()

    def _reap(self) -> None:
        # A process that ends closes what it has open before its parent can wait for it, so this
        # may come too early: whoever asks for trouble tries again.
        if self._ended and self._pid:
            try:
                ended, _ = os.waitpid(self._pid, os.WNOHANG)
            except ChildProcessError:
                ended = self._pid
            if ended:
                self._pid = 0


@contextmanager
def _told_of_files(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        raise _NoFileError(
            f"The map {name} cannot be opened now: {error.strerror} (ulimit -n, LimitNOFILE)."
        ) from None


class HelpedPrograms:
    """Programs for an agent's sockets that its helper has loaded.

    Args:
        helper: The helper.

    Raises:
        OSError: The kernel refuses.
    """

    def __init__(self, helper: Helper) -> None:
        self._helper = helper
        self._programs: dict[tuple[int, bool], int] = {}
        self.counts, self._programs[socket.AF_INET, False] = helper.filter(
            socket.AF_INET, to_transceivers=False
        )

    def program(self, family: int, *, to_transceivers: bool) -> int:
        """See `FilterPrograms.program`."""
        key = family, to_transceivers
        if key not in self._programs:
            counts, self._programs[key] = self._helper.filter(
                family, to_transceivers=to_transceivers
            )
            os.close(counts)  # the same again
        return self._programs[key]

    def close(self) -> None:
        """See `FilterPrograms.close`."""
        for fd in (self.counts, *self._programs.values()):
            os.close(fd)
        self._programs.clear()
