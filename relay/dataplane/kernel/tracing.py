"""Following one client's packets through the program that runs: bpf/trace.bpf.c.

Interfaces run a program of that file for that time, which ends in the one that is loaded; each is
exchanged in one step, and no packet is lost. The one that is loaded stays as it is. When this
process is killed, the other one looks at nothing more once its lease has ended, and an agent, the
next load or the next trace takes it out.
"""

import os
import sys
import time
from contextlib import ExitStack, suppress
from itertools import islice
from typing import Self

from relay import linux
from relay.core.rates import RateLimit
from relay.dataplane.kernel import bpfload, bpfsys, objects, traces
from relay.dataplane.kernel.bpfobject import BpfObject
from relay.dataplane.kernel.maps import TRACE_MAPS, TRACE_TAILS, make
from relay.dataplane.kernel.pinnedmap import HeldMap, PinnedMap
from relay.dataplane.kernel.pins import Pins, table_id
from relay.dataplane.kernel.sources import current_key
from relay.dataplane.kernel.tracerecords import VERDICTS, RecordReader, TraceRecord, reasons
from relay.errors import DataplaneError
from relay.wire.endpoint import Endpoint

RATE = RateLimit(rate=1_000, burst=1_000)
LEASE = 5.0  # seconds; `follow` is to be called more often
_NEEDED = ("CAP_SYS_ADMIN",)  # it includes CAP_BPF, and alone reads type information
_SECOND = 1_000_000_000  # nanoseconds
_ONLY = bytes(4)  # the key of what has one entry


class Trace:
    """The packets of a client, from now until this is closed.

    Args:
        pins: The instance.
        client: The client; port 0: whatever its port.
        rate: How many packets are told of at most.

    Raises:
        DataplaneError: They cannot be followed; the text says why and what to do.
    """

    def __init__(self, pins: Pins, client: Endpoint, rate: RateLimit = RATE) -> None:
        _require_privileges()
        _require_loaded(pins)
        self._pins = pins
        self._program = 0
        self._table = table_id(pins)
        with ExitStack() as opened:
            opened.enter_context(traces.only_trace(pins))
            traces.restore(pins)  # what one before this has left
            _require_same_version(pins)
            self._object = objects.find_or_build().object
            self._fds = _make_maps(self._object, opened)
            self._setup, self._lease, self._counts, held = (
                opened.enter_context(self._opened(name))
                for name in ("trace_setup", "trace_lease", "trace_counts", "trace_held")
            )
            self._reader = RecordReader(held.value, self._counts.value)
            self._write_setup(client, rate)
            self._traced, self._flush = (
                _load(self._object, name, pins, self._fds, opened) for name in traces.PROGRAMS
            )
            pins.replace(traces.tails_of(pins), self._fds[TRACE_TAILS])
            opened.callback(traces.restore, pins)
            self.follow()
            self._open = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Follow no longer."""
        self._open.close()

    def stop(self) -> None:
        """Follow no longer, but go on telling what was seen."""
        self._lease_until(0)
        self._flush_processors()
        traces.restore(self._pins)

    def follow(self) -> bool:
        """Follow the program that is loaded for as long as the lease.

        Returns:
            Whether that is another one than before.

        Raises:
            DataplaneError: None is loaded, or it has other maps by now.
        """
        _require_loaded(self._pins)
        if table_id(self._pins) != self._table:
            raise DataplaneError(
                f"{self._pins.instance} was unloaded and loaded meanwhile: start the trace again."
            )
        with bpfsys.pinned(self._pins.program) as program:
            number = bpfsys.program_info(program).id
            changed = number != self._program
            if changed:
                _require_same_version(self._pins)
                bpfsys.map_update(self._fds[TRACE_TAILS], _ONLY, _number(program))
            for link in self._pins.links().values():
                with suppress(FileNotFoundError):
                    traces.replace(link, self._traced, program)
        self._lease_until(time.monotonic() + LEASE)
        again, self._program = changed and self._program != 0, number
        return again

    def is_passed_by(self) -> bool:
        """Whether no interface runs the program: all packets go up to the agent."""
        running = set()
        for link in self._pins.links().values():
            with suppress(FileNotFoundError), bpfsys.pinned(link) as fd:
                running.add(bpfsys.link_info(fd).program_id)
        return bpfsys.program_info(self._traced).id not in running

    def records(self) -> list[TraceRecord]:
        """The packets that have not been told yet, in the order in which they came."""
        self._flush_processors()
        size, queue = self._reader.size, self._fds["trace_records"]
        most = self._object.maps["trace_records"].max_entries  # or it might never end
        waiting = iter(lambda: bpfsys.queue_pop(queue, size), None)
        told = [self._reader.read(raw) for raw in islice(waiting, most) if raw is not None]
        return sorted(told, key=lambda record: record.time)

    def counts(self) -> dict[tuple[str, str], int]:
        """All packets that were seen, told or not, by verdict and reason."""
        names, found = reasons(self._counts.value), dict[tuple[str, str], int]()
        for verdict, (_, value) in zip(VERDICTS, self._counts.items(), strict=True):
            parts = self._counts.by_cpu(value)
            for name, leaf in zip(names, self._counts.value.leaves, strict=True):
                number = sum(int.from_bytes(part[leaf.span], leaf.byte_order) for part in parts)
                if number:
                    found[verdict, name] = number
        return found

    def missed(self) -> tuple[int, int]:
        """How many packets were not told: as they were too many a second; and for want of room."""
        row, spans = self._setup.lookup(_ONLY) or b"", self._setup.value.spans
        limited, full = (
            int.from_bytes(row[spans[name]], sys.byteorder) for name in ("limited", "full")
        )
        return limited, full

    def _opened(self, name: str) -> PinnedMap:
        return PinnedMap(HeldMap(os.dup(self._fds[name]), self._object.types))

    def _write_setup(self, client: Endpoint, rate: RateLimit) -> None:
        cost = int(_SECOND / rate.rate)
        fields: dict[str, bytes | int] = {
            "client.word": client.packed[:16],
            "client_port": client.port,
            "rate.cost_ns": cost,
            "rate.burst_ns": cost * rate.burst,
        }
        self._setup.update(_ONLY, self._setup.value.pack(fields))

    def _lease_until(self, moment: float) -> None:
        until = {"until_ns": int(moment * _SECOND)}
        self._lease.update(_ONLY, self._lease.value.pack(until))

    def _flush_processors(self) -> None:
        """Have the last packet of each processor told of, if the program is done with it."""
        for cpu in range(bpfsys.possible_cpus()):
            with suppress(OSError):  # it is not online, and no packet comes there
                bpfsys.run_on(self._flush, cpu)


def _make_maps(wanted: BpfObject, opened: ExitStack) -> dict[str, int]:
    types = bpfload.btf_load(wanted.types)
    opened.callback(os.close, types)
    fds = {}
    for name in TRACE_MAPS:
        spec = wanted.maps[name]
        fds[name] = make(spec, types, spec.max_entries)
        opened.callback(os.close, fds[name])
    return fds


def _load(wanted: BpfObject, name: str, pins: Pins, made: dict[str, int], opened: ExitStack) -> int:
    """Load one of the programs, with the instance's maps and those that were made for it."""
    spec = wanted.programs[name]
    with ExitStack() as maps:
        fds = made | {
            used: maps.enter_context(bpfsys.pinned(pins.map(used)))
            for used in {used for _, used in spec.maps} - made.keys()
        }
        try:
            fd = bpfload.program_load(spec.linked(fds), spec.type, spec.attach_type, name=name)
        except OSError as error:
            raise DataplaneError(
                f"The kernel refuses the BPF program {name} ({error.strerror})."
            ) from None
    opened.callback(os.close, fd)
    return fd


def _number(value: int) -> bytes:
    return value.to_bytes(4, sys.byteorder)


def _require_privileges() -> None:
    if os.geteuid() != 0:
        raise DataplaneError("Following packets needs root: run it as root, such as with sudo.")
    if missing := linux.lacking(*_NEEDED):
        raise DataplaneError(
            f"Following packets needs {' and '.join(missing)}, which this process lacks though it "
            "is root: give it to the container (--cap-add), or run this on the host."
        )


def _require_loaded(pins: Pins) -> None:
    if not pins.loaded():
        raise DataplaneError(
            f"No program of {pins.instance} is loaded whose verdicts could be followed; `icelane "
            "relay status` shows what is. A relay in userspace has none: see `icelane flows` and "
            "`icelane stats`."
        )


def _require_same_version(pins: Pins) -> None:
    """Refuse maps of which the programs here would know nothing."""
    if "build" in pins.maps():
        with pins.opened("build") as build:
            if build.lookup(build.key.number(0)) == current_key():
                return
    raise DataplaneError(
        f"Another version of Icelane loaded {pins.instance}: trace with that version, or load this "
        "one's program in its place (`icelane relay load`, or a restart of the relay)."
    )
