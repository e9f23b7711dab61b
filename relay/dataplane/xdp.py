"""The XDP dataplane: confirmed flows as entries of pinned maps.

Everything here works on what the loader has pinned, and needs neither BCC nor the process that
loaded it. The program goes on forwarding when this process ends, however it ends.
"""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from socket import AF_INET, inet_aton, inet_ntoa
from struct import Struct

from relay.dataplane import bpfsys
from relay.dataplane.attach import attached_mode
from relay.dataplane.base import Activity, DataplaneError, DataplaneFull, FlowRecord, FlowTuple
from relay.dataplane.config import LoadConfig, LoadReport, Settings
from relay.dataplane.pins import PinnedMap, Pins
from relay.dataplane.tables import write_settings
from relay.wire.endpoint import Endpoint

_TO_TRANSCEIVER, _TO_CLIENT = 1, 2  # enum direction in bpf/relay.h
_NANOSECOND = 1e-9


def load(config: LoadConfig) -> LoadReport:
    """Compile, load and attach the program, in a process of its own.

    Loading an instance that is loaded replaces its program in one step and keeps its flows.

    Raises:
        DataplaneError: That was not possible and nothing changed; the text says what to do.
    """
    done = subprocess.run(
        [sys.executable, "-m", "relay.dataplane.loader"],
        input=config.dumps(),
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        raise DataplaneError(
            f"The loader ended with status {done.returncode}:\n{_last_lines(done.stderr)}"
        ) from None
    if "error" in answer:
        raise DataplaneError("\n".join(filter(None, [answer["error"], _last_lines(done.stderr)])))
    return LoadReport.loads(answer["report"])


def unload(instance: str) -> bool:
    """Detach the program and remove its maps, flows and all; says whether it was loaded.

    Raises:
        DataplaneError: This is not root.
    """
    pins = Pins(instance)
    loaded = bool(pins.maps() or pins.links())
    try:
        pins.remove()
    except PermissionError:
        raise DataplaneError("Unloading the program needs root.") from None
    return loaded


@dataclass(frozen=True, slots=True)
class Status:
    """What is loaded of an instance.

    Attributes:
        instance: Its name.
        interfaces: Its interfaces, and how they run the program; None where they do not: the
            interface has gone, or is in another network namespace.
        flows: How many flows are installed.
        max_flows: For how many there is room.
        program: The kernel's tag of the program.
        counters: Packets by reason.
    """

    instance: str
    interfaces: dict[str, str | None]
    flows: int
    max_flows: int
    program: str
    counters: dict[str, int]


def status(instance: str) -> Status:
    """What is loaded of an instance.

    Raises:
        DataplaneError: It is not loaded, or this is not root.
    """
    dataplane = XdpDataplane(instance)
    try:
        return dataplane.status()
    finally:
        dataplane.close()


class XdpDataplane:
    """Confirmed flows in the kernel.

    Args:
        instance: The instance that was loaded.

    Raises:
        DataplaneError: It is not loaded, or this is not root.
    """

    name = "xdp"

    def __init__(self, instance: str) -> None:
        self._pins = Pins(instance)
        self._flows = PinnedMap(self._pins.map("flows4"))
        self._counters = PinnedMap(self._pins.map("counters"))
        self._unpack_counters = Struct(f"={self._counters.value.size // 8}Q").unpack
        self._entries = _Entries(self._flows)

    def configure(self, settings: Settings) -> None:
        """Put other addresses and keys in force; no confirmed flow is touched.

        Raises:
            DataplaneError: This is not root.
        """
        write_settings(self._pins, settings)

    def install(self, flow: FlowTuple) -> None:
        """Forward both directions of a flow from now on; again is fine.

        Raises:
            DataplaneFull: There is no room; nothing was installed.
            DataplaneError: The kernel path does not take such a flow.
        """
        # The transceiver's direction comes first: what is installed alone for a moment is then
        # the one in which nobody sends yet.
        there, back = self._entries.of(flow)
        added = self._put(*back)
        try:
            self._put(*there)
        except DataplaneError:
            if added:
                self._flows.delete(back[0])
            raise

    def remove(self, flow: FlowTuple) -> None:
        """Stop forwarding a flow; one that is not there is fine.

        An entry that another flow has taken over since, by an install of its own, stays.
        """
        for key, value in self._entries.of(flow):
            found = self._flows.lookup(key)
            if found is not None and self._entries.same_flow(found, value):
                self._flows.delete(key)

    def flows(self) -> Iterator[FlowRecord]:
        """Every flow that is installed, in no order, with its activity."""
        entries = self._entries
        for key, value in self._flows.items():
            if not entries.is_to_transceiver(value):
                continue
            flow = entries.flow(key, value)
            back = self._flows.lookup(entries.of(flow)[1][0])
            yield FlowRecord(
                flow, entries.activity(value), entries.activity(back) if back else Activity()
            )

    def counters(self) -> dict[str, int]:
        """Packets by reason since the program was loaded, summed over processors."""
        counters = self._counters
        value = counters.lookup(counters.key.number(0)) or b""
        by_cpu = [self._unpack_counters(part) for part in counters.by_cpu(value)]
        names = [leaf.path for leaf in counters.value.leaves]
        return dict(zip(names, map(sum, zip(*by_cpu, strict=True)), strict=True))

    def status(self) -> Status:
        """What is loaded of the instance."""
        fd = bpfsys.obj_get(self._pins.program)
        try:
            program = bpfsys.program_info(fd).tag
        finally:
            os.close(fd)
        return Status(
            instance=self._pins.instance,
            interfaces={name: _mode_of(name) for name in self._pins.links()},
            flows=sum(
                1 for _, value in self._flows.items() if self._entries.is_to_transceiver(value)
            ),
            max_flows=self._flows.info.max_entries // 2,
            program=program,
            counters=self.counters(),
        )

    def close(self) -> None:
        """Let go of the maps; what is pinned goes on forwarding."""
        self._flows.close()
        self._counters.close()

    def _put(self, key: bytes, value: bytes) -> bool:
        """Set an entry, whose counters stay when it was there; says whether it is new."""
        try:
            self._flows.update(key, value, bpfsys.Update.CREATE_ONLY)
        except FileExistsError:
            found = self._flows.lookup(key)
            if found is None or not self._entries.same_flow(found, value):
                self._flows.update(key, value)
            return False
        except OSError as error:
            if error.errno == errno.E2BIG:
                raise DataplaneFull(
                    f"All {self._flows.info.max_entries // 2} flows of the kernel's map are in "
                    "use; load it with more."
                ) from None
            raise DataplaneError(f"The kernel did not take a flow: {error.strerror}.") from None
        return True


class _Entries:
    """Turns flows into the entries of a map, and back."""

    def __init__(self, flows: PinnedMap) -> None:
        self._key = flows.key
        self._value = flows.value
        spans = flows.value.spans
        self._direction: int = spans["state.direction"].start
        self._state = spans["state.packets"], spans["state.bytes"], spans["state.last_seen_ns"]
        self._route = spans["state.route"]
        self._rewrite = slice(spans["rewrite.src"].start, spans["rewrite.dst_port"].stop)

    def of(self, flow: FlowTuple) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
        """The entries, key and value, to the transceiver and to the client."""
        received, sent = (flow.client, flow.vip), (flow.upstream, flow.transceiver)
        answered, returned = (flow.transceiver, flow.upstream), (flow.vip, flow.client)
        return (
            (self._tuple(*received), self._entry(sent, flow.route, _TO_TRANSCEIVER)),
            (self._tuple(*answered), self._entry(returned, flow.route, _TO_CLIENT)),
        )

    def flow(self, key: bytes, value: bytes) -> FlowTuple:
        """The flow of an entry to the transceiver."""
        client, vip = self._endpoints(key)
        upstream, transceiver = self._endpoints(value[self._rewrite])
        return FlowTuple(client, vip, upstream, transceiver, value[self._route])

    def activity(self, value: bytes) -> Activity:
        """What passed in an entry's direction."""
        packets, size, last_seen = (
            int.from_bytes(value[span], sys.byteorder) for span in self._state
        )
        return Activity(packets, size, last_seen * _NANOSECOND)

    def is_to_transceiver(self, value: bytes) -> bool:
        """Whether an entry is the one of its flow that clients send into."""
        return value[self._direction] == _TO_TRANSCEIVER

    def same_flow(self, one: bytes, other: bytes) -> bool:
        """Whether two values are of the same flow and direction, whatever they have counted."""
        return (
            one[self._rewrite] == other[self._rewrite]
            and one[self._route] == other[self._route]
            and one[self._direction] == other[self._direction]
        )

    def _entry(self, rewrite: tuple[Endpoint, Endpoint], route: bytes, direction: int) -> bytes:
        value = bytearray(self._value.size)
        value[self._rewrite] = self._tuple(*rewrite)
        value[self._route] = route
        value[self._direction] = direction
        return bytes(value)

    def _tuple(self, source: Endpoint, destination: Endpoint) -> bytes:
        """Struct tuple4."""
        if source.family != AF_INET or destination.family != AF_INET:
            raise DataplaneError(f"{source} to {destination}: the kernel path takes IPv4 only.")
        return self._key.pack(
            {
                "src": inet_aton(source.host),
                "dst": inet_aton(destination.host),
                "src_port": source.port,
                "dst_port": destination.port,
            }
        )

    def _endpoints(self, packed: bytes) -> tuple[Endpoint, Endpoint]:
        spans = self._key.spans
        src, dst = inet_ntoa(packed[spans["src"]]), inet_ntoa(packed[spans["dst"]])
        src_port = int.from_bytes(packed[spans["src_port"]], "big")
        dst_port = int.from_bytes(packed[spans["dst_port"]], "big")
        return Endpoint(src, src_port), Endpoint(dst, dst_port)


def _mode_of(interface: str) -> str | None:
    try:
        mode = attached_mode(interface)
    except DataplaneError:
        return None
    return str(mode) if mode else None


def _last_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-12:])
