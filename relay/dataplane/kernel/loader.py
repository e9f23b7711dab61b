"""Load the program and attach it: maps and programs by bpf(2), from an object compiled before."""

import os
import secrets
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

from relay.dataplane.kernel import (
    bpffs,
    bpfload,
    bpfsys,
    loforwarding,
    losses,
    objects,
    offloads,
    privileges,
    proof,
    renames,
    traces,
    unseen,
)
from relay.dataplane.kernel.attach import Attacher, attached_mode, interface_index, update_links
from relay.dataplane.kernel.bpfobject import BpfObject, ProgramSpec
from relay.dataplane.kernel.config import MOST_FLOWS, LoadConfig, LoadReport, Mode, Outcome
from relay.dataplane.kernel.flowindex import STASH_BUCKETS, buckets_for
from relay.dataplane.kernel.flowtable import FlowTable, read_hash, write_hash
from relay.dataplane.kernel.former import FormerFlows
from relay.dataplane.kernel.ingresses import NO_SIDES, find_ingresses, write_ingresses
from relay.dataplane.kernel.maps import (
    DORMANT_CLIENTS,
    FLOW_INDEX,
    FLOW_MAPS,
    PINNED,
    TAILS,
    Maps,
    has_layout,
)
from relay.dataplane.kernel.nexthops import write_leases
from relay.dataplane.kernel.owner import is_here, require_not_elsewhere
from relay.dataplane.kernel.pins import Pins, detach, locked
from relay.dataplane.kernel.settings import write_settings
from relay.dataplane.kernel.sources import current_key
from relay.dataplane.kernel.txports import find_tx_ports, write_tx_ports
from relay.errors import DataplaneError

# As enum tail has them.
TAIL_PROGRAMS = ("relay_triage", "relay_request", "relay_forward", "relay_announced")


def load(config: LoadConfig) -> LoadReport:
    """Load an instance, or replace the program of one that runs; its flows stay.

    One that runs and was built from the same sources is kept. When loading fails, everything is
    as it was.

    Raises:
        DataplaneError: It cannot be loaded; the text says why and what to do.
    """
    privileges.require(*privileges.LOADING)
    started = time.monotonic()
    loading = _Loading(config)
    outcome = loading.run()
    traces.end_left(loading.pins)
    with bpfsys.pinned(loading.pins.program) as program:
        tag = bpfsys.program_info(program).tag
    return LoadReport(
        instance=config.instance,
        interfaces={name: str(attached_mode(name)) for name in config.interfaces},
        max_flows=loading.max_flows,
        outcome=outcome,
        program=tag,
        kernel=os.uname().release,
        object=loading.object_found,
        seconds=time.monotonic() - started,
        attach_seconds=loading.attach_seconds,
        bpffs_mounted=loading.bpffs_mounted,
        warnings=tuple(loading.warnings),
    )


class _Loading:
    """The loading of one instance, from what is there to what is wanted.

    Args:
        config: What is wanted.

    Attributes:
        pins: Where it is pinned.
        warnings: What the administrator should know.
        object_found: Where the object came from; None when none was needed.
        bpffs_mounted: Whether it has mounted the BPF file system.
        attach_seconds: How long attaching took.
    """

    def __init__(self, config: LoadConfig) -> None:
        self.pins = Pins(config.instance)
        self.warnings: list[str] = []
        self.object_found: str | None = None
        self.bpffs_mounted = False
        self.attach_seconds = 0.0
        self.max_flows = 0
        self._config = config
        self._indexes = {name: interface_index(name) for name in config.interfaces}

    def run(self) -> Outcome:
        """Keep, replace or load."""
        mounted = bpffs.mount()
        if mounted:
            self.bpffs_mounted = True
            self.warnings.append(mounted)
        with locked():
            require_not_elsewhere(self.pins)
            renames.follow(self.pins)
            self.max_flows = self._room()
            if self.pins.loaded() and not self._config.reload and self._is_current():
                self._keep()
                return Outcome.KEPT
        found = objects.find_or_build()  # not locked: compiling takes a second
        self.object_found = str(found)
        with locked():
            require_not_elsewhere(self.pins)
            running = self.pins.loaded()
            if running:
                _require_same_flows(found.object, self.pins, self.max_flows)
            else:
                self.pins.remove()  # what a loader that was killed half-way has left
            self._load_all_or_nothing(found.object, running=running)
        return Outcome.REPLACED if running else Outcome.LOADED

    def _load_all_or_nothing(self, wanted: BpfObject, *, running: bool) -> None:
        self.pins.directory.mkdir(exist_ok=True)
        with ExitStack() as opened:
            maps = Maps(wanted, self.pins, _sizes(self._config, self.max_flows), opened)
            try:
                self._load(wanted, maps, opened, running=running)
            except BaseException:
                maps.undo()
                if not running:
                    self.pins.remove()
                raise

    def _room(self) -> int:
        """For how many flows there is to be room."""
        config = self._config
        if config.max_flows is not None:
            return config.max_flows
        has_table = self.pins.loaded() and "flow_hash" in self.pins.maps()
        running = read_hash(self.pins)[1] if has_table else 0
        return running or min(config.ports, MOST_FLOWS)

    def _is_current(self) -> bool:
        """Whether exactly this program runs on exactly these interfaces, with all its maps."""
        pins = self.pins
        if not PINNED.issubset(pins.maps()) or pins.linked() != self._indexes or not is_here(pins):
            return False
        with pins.opened("build") as build:
            if build.lookup(build.key.number(0)) != current_key():
                return False
        modes = {attached_mode(name) for name in self._indexes}
        same_size = read_hash(pins)[1] == self.max_flows
        return same_size and self._config.mode in modes | {Mode.AUTO}

    def _keep(self) -> None:
        self._configure()
        update_links(self.pins, self.pins.pass_all if self._config.pass_all else self.pins.program)
        if self._config.mode is Mode.AUTO and Mode.GENERIC in map(attached_mode, self._indexes):
            self.warnings.append(
                "All interfaces run the program in generic mode, which is several times slower; "
                f"`icelane relay unload --instance {self.pins.instance}` and loading again tries "
                "native."
            )

    def _load(self, wanted: BpfObject, maps: Maps, opened: ExitStack, *, running: bool) -> None:
        pins, config = self.pins, self._config
        maps.open()
        if not read_hash(pins)[1]:
            write_hash(pins, secrets.randbits(64), self.max_flows)
        programs = _load_programs(wanted, maps.fds, opened)
        for place, name in enumerate(TAIL_PROGRAMS):
            bpfsys.map_update(maps.fds[TAILS], _number(place), _number(programs[name]))
        old = opened.enter_context(bpfsys.pinned(pins.program)) if running else None
        self._configure()
        pins.replace(pins.ticks, programs["ticks"])
        former = FormerFlows(pins)
        former.convert()
        _write_index(pins)
        runs = programs["pass_all" if config.pass_all else "relay"]
        self._count_losses(wanted, maps.fds)
        attacher = Attacher(
            pins, runs, old, force=config.force, prove=lambda: proof.require_delivery(pins)
        )
        attaching = time.monotonic()
        self.warnings += attacher.attach(config.interfaces, config.mode)
        pins.replace(pins.tails, maps.fds[TAILS])  # before that of the old ones goes with its pin
        self.attach_seconds = time.monotonic() - attaching
        pins.replace(pins.program, programs["relay"])
        pins.replace(pins.pass_all, programs["pass_all"])
        _steer(pins, programs["steer"])
        self.warnings += former.finish()
        self.warnings += _write_index(pins)  # with what came meanwhile
        for interface, link in pins.links().items():
            if interface not in config.interfaces:
                detach(link)
        with pins.opened("build") as build:
            build.update(build.key.number(0), wanted.key)

    def _count_losses(self, wanted: BpfObject, maps: Mapping[str, int]) -> None:
        try:
            losses.start(self.pins, wanted, maps)
        except OSError as error:
            self.warnings.append(
                "What is lost after it was forwarded is not counted (redirect_failed, "
                f"transmit_dropped): {error.strerror}."
            )

    def _configure(self) -> None:
        write_settings(self.pins, self._config.settings)
        indexes = self._indexes.values()
        write_tx_ports(self.pins, find_tx_ports(indexes))
        upstreams = [each.address for each in self._config.settings.upstreams]
        ingresses = find_ingresses(indexes, upstreams)
        write_ingresses(self.pins, ingresses)
        if all(each.upstream for each in ingresses):
            self.warnings.append(NO_SIDES)
        self.warnings += offloads.hidden(indexes)
        self.warnings += unseen.look()
        write_leases(self.pins)
        loforwarding.allow()


def _sizes(config: LoadConfig, max_flows: int) -> dict[str, int]:
    """How many entries the maps have whose size is a matter of configuration."""
    return {
        "flow_records": max(1, config.ports),
        "flow_routes": max(1, config.ports),
        DORMANT_CLIENTS: max_flows,
        FLOW_INDEX: buckets_for(max_flows) + STASH_BUCKETS,
    }


def _load_programs(
    wanted: BpfObject, maps: Mapping[str, int], opened: ExitStack
) -> Mapping[str, int]:
    """Load all programs but those that a relay can do without; their descriptors by name.

    Several at a time: most of a start is the kernel verifying them, and it holds no lock then. The
    largest first, since it takes longest.

    Raises:
        DataplaneError: The kernel refuses one.
    """
    later = (*losses.TRACEPOINTS, *traces.PROGRAMS)
    specs = [each for each in wanted.programs.values() if each.name not in later]
    specs.sort(key=lambda each: len(each.instructions), reverse=True)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as executor:
        loading = [executor.submit(_load_program, each, maps) for each in specs]
    refused = [error for each in loading if (error := each.exception())]
    loaded = {
        spec.name: _opened(each.result(), opened)
        for spec, each in zip(specs, loading, strict=True)
        if not each.exception()
    }
    if refused:
        raise refused[0]
    return loaded


def _load_program(spec: ProgramSpec, maps: Mapping[str, int]) -> int:
    try:
        return bpfload.program_load(spec.linked(maps), spec.type, spec.attach_type, name=spec.name)
    except OSError as error:
        raise DataplaneError(
            f"The kernel refuses the BPF program {spec.name} ({error.strerror})."
        ) from None


def _write_index(pins: Pins) -> list[str]:
    """Enter all flows into the index, which is new if the version before had another.

    Returns:
        What the administrator should know.
    """
    with closing(FlowTable(pins)) as table:
        homeless = table.write_index()
    if not homeless:
        return []
    return [f"{homeless} flows have no place in the index: the agent forwards for their clients."]


def _number(value: int) -> bytes:
    return value.to_bytes(4, sys.byteorder)


def _opened(fd: int, opened: ExitStack) -> int:
    opened.callback(os.close, fd)
    return fd


def _steer(pins: Pins, program: int) -> None:
    """Attach the steering program to this network namespace, then detach the one before."""
    link = bpfsys.link_create_netns(program, bpfsys.ATTACH_TYPE_SK_LOOKUP)
    try:
        pins.replace(pins.steer_link, link)
    finally:
        os.close(link)


def _require_same_flows(wanted: BpfObject, pins: Pins, max_flows: int) -> None:
    """Refuse to run the new program on a table of flows that it would misread."""
    if FormerFlows(pins).are_there():
        return  # they get a new table
    if gone := [name for name in FLOW_MAPS if not pins.map(name).exists()]:
        raise DataplaneError(
            f"Somebody has removed {', '.join(gone)} from {pins.directory}: the running program "
            "goes on, and nobody finds its flows any more. They go with it: at a quiet time, run "
            f"`icelane relay unload --instance {pins.instance}` and load again."
        )
    capacity = read_hash(pins)[1]
    if capacity != max_flows:
        raise DataplaneError(
            f"The running program has room for {capacity:,} flows, and {max_flows:,} are "
            f"wanted. Keep --max-flows {capacity}, or change it at a quiet time, because all flows "
            "go with the program: run "
            f"`icelane relay unload --instance {pins.instance}`, and load again."
        )
    for name in FLOW_MAPS:
        if not has_layout(pins, wanted, name):
            raise DataplaneError(
                f"The running program's map {name} has another layout than this version wants. "
                "Its flows go with it: at a quiet time, run "
                f"`icelane relay unload --instance {pins.instance}` and load again."
            )
