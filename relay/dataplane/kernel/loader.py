"""Compile, load and attach the program: a process that does this and ends.

Compiling takes 200 MB of memory that BCC never gives back, so nothing else runs in it. It reads a
`LoadConfig` from its standard input and writes one line of JSON, ``{"report": ...}`` or
``{"error": TEXT}``, to its standard output. This is the only module that imports bcc.
"""

import ctypes
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from relay import linux
from relay.dataplane.kernel import bpffs, bpfsys, headers
from relay.dataplane.kernel.attach import Attacher, attached_mode, interface_index
from relay.dataplane.kernel.config import LoadConfig, LoadReport, Mode, Outcome
from relay.dataplane.kernel.pins import PinnedMap, Pins, detach, locked, update_links
from relay.dataplane.kernel.settings import write_rate_limits, write_settings
from relay.dataplane.kernel.txports import find_tx_ports, write_tx_ports
from relay.errors import DataplaneError

# The functions of the sources, and what the kernel is told that they are (linux/bpf.h).
_RELAY, _PASS_ALL, _STEER = b"relay", b"pass_all", b"steer"
_PROG_TYPE_SK_LOOKUP, _ATTACH_TYPE_SK_LOOKUP = 30, 36
_FLOWS = "flows"  # the map whose size is that of all flows' maps
_SOURCES = ("relay.bpf.c", "steer.bpf.c")
_FORWARDING = "net/ipv4/conf/lo/forwarding", "net/ipv6/conf/lo/forwarding"


class _Table(Protocol):
    """What is used of a BCC table; the classes are ctypes ones."""

    Key: type[ctypes.Structure]
    Leaf: Any
    max_entries: int


class _Function(Protocol):
    """What is used of a loaded BCC function."""

    fd: int


class _Module(Protocol):
    """What is used of a BCC module."""

    XDP: int

    def load_func(
        self, name: bytes, kind: int, device: None = None, attach_type: int = -1
    ) -> _Function: ...

    def __getitem__(self, name: bytes) -> _Table: ...


def source_directory() -> Path:
    """Where the C files are: in a wheel beside this module, in a checkout at the top."""
    here = Path(__file__).resolve().parent
    for directory in (here / "bpf", here.parents[2] / "bpf"):
        if (directory / _SOURCES[0]).exists():
            return directory
    raise DataplaneError("The BPF program's source is missing: this installation is incomplete.")


def load(config: LoadConfig) -> LoadReport:
    """Load an instance, or replace the program of one that runs; its flows stay.

    One that runs and was built from the same sources is kept, and BCC is not needed then. When
    loading fails, everything is as it was.

    Raises:
        DataplaneError: It cannot be loaded; the text says why and what to do.
    """
    if os.geteuid() != 0:
        raise DataplaneError("Loading a BPF program needs root.")
    indexes = {name: interface_index(name) for name in config.interfaces}
    mounted = bpffs.mount()
    report = _load_or_replace(config, indexes)
    return replace(report, warnings=(mounted, *report.warnings)) if mounted else report


def _load_or_replace(config: LoadConfig, indexes: dict[str, int]) -> LoadReport:
    pins = Pins(config.instance)
    with locked():
        replaced = pins.loaded()
        if replaced and not config.rebuild and _is_current(config, pins, indexes):
            return _keep(config, pins, indexes)
        if not replaced:
            pins.remove()  # what a loader that was killed half-way has left
        pins.directory.mkdir(exist_ok=True)
        before = set(pins.maps())
        try:
            return _load(config, pins, indexes, replaced=replaced)
        except BaseException:
            for name in set(pins.maps()) - before:
                pins.map(name).unlink()
            if not replaced:
                pins.remove()
            raise


def _is_current(config: LoadConfig, pins: Pins, indexes: dict[str, int]) -> bool:
    """Whether exactly this program runs on exactly these interfaces."""
    if "build" not in pins.maps() or _linked(pins) != indexes or not _steers_here(pins):
        return False
    with PinnedMap(pins.map("build")) as build:
        built_from = build.lookup(build.key.number(0))
    modes = {attached_mode(name) for name in indexes}
    same_size = _capacity(pins) == config.max_flows
    return same_size and built_from == _fingerprint() and config.mode in modes | {Mode.AUTO}


def _capacity(pins: Pins) -> int:
    """For how many flows the running program has room."""
    with PinnedMap(pins.map(_FLOWS)) as flows:
        return flows.info.max_entries // 2


def _linked(pins: Pins) -> dict[str, int]:
    """The interfaces that the pinned links are attached to, with their indexes."""
    found = {}
    for interface, path in pins.links().items():
        with bpfsys.pinned(path) as fd:
            found[interface] = bpfsys.link_info(fd).ifindex
    return found


def _fingerprint() -> bytes:
    """What tells one state of the program's sources from another."""
    digest = hashlib.sha256()
    for path in sorted(source_directory().glob("*.[ch]")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.digest()


def _keep(config: LoadConfig, pins: Pins, indexes: dict[str, int]) -> LoadReport:
    _configure(config, pins, indexes)
    update_links(pins, pins.pass_all if config.pass_all else pins.program)
    warnings = []
    if config.mode is Mode.AUTO and Mode.GENERIC in map(attached_mode, indexes):
        warnings.append(
            "All interfaces run the program in generic mode, which is several times slower; "
            f"`icelane relay unload --instance {pins.instance}` and loading again tries native."
        )
    with bpfsys.pinned(pins.program) as program:
        return _report(config, program, Outcome.KEPT, warnings=warnings)


def _load(config: LoadConfig, pins: Pins, indexes: dict[str, int], *, replaced: bool) -> LoadReport:
    started = time.monotonic()
    headers.ensure()
    module = _compile(config, pins)
    if replaced:
        _require_same_layout(module, pins)
    program = _load_program(module, _RELAY, module.XDP)
    pass_all = _load_program(module, _PASS_ALL, module.XDP)
    steering = _load_program(module, _STEER, _PROG_TYPE_SK_LOOKUP, _ATTACH_TYPE_SK_LOOKUP)
    old_program = bpfsys.obj_get(pins.program) if replaced else None
    build_seconds = time.monotonic() - started

    _configure(config, pins, indexes)
    runs = pass_all if config.pass_all else program
    attacher = Attacher(pins, runs, old_program, force=config.force)
    warnings = attacher.attach(config.interfaces, config.mode)
    pins.replace(pins.program, program)
    pins.replace(pins.pass_all, pass_all)
    _steer(pins, steering)
    for interface, link in pins.links().items():
        if interface not in config.interfaces:
            detach(link)
    with PinnedMap(pins.map("build")) as build:
        build.update(build.key.number(0), _fingerprint())
    outcome = Outcome.REPLACED if replaced else Outcome.LOADED
    return _report(config, program, outcome, build_seconds, warnings)


def _configure(config: LoadConfig, pins: Pins, indexes: dict[str, int]) -> None:
    write_settings(pins, config.settings)
    write_rate_limits(pins)
    write_tx_ports(pins, find_tx_ports(indexes.values()))
    _allow_forwarding()


def _report(
    config: LoadConfig,
    program: int,
    outcome: Outcome,
    build_seconds: float = 0.0,
    warnings: Sequence[str] = (),
) -> LoadReport:
    return LoadReport(
        instance=config.instance,
        interfaces={name: str(attached_mode(name)) for name in config.interfaces},
        max_flows=config.max_flows,
        outcome=outcome,
        program=bpfsys.program_info(program).tag,
        build_seconds=build_seconds,
        warnings=tuple(warnings),
    )


def _compile(config: LoadConfig, pins: Pins) -> _Module:
    """Build the program; its maps are made and pinned, or found and used where pinned."""
    try:
        from bcc import BPF  # noqa: PLC0415  # to say in plain words that it is missing
    except ImportError:
        raise DataplaneError(
            "BCC is missing. Install python3-bpfcc (apt-get install python3-bpfcc); a virtual "
            "environment must be of /usr/bin/python3, with --system-site-packages."
        ) from None
    directory = source_directory()
    flags = [
        f"-I{directory}",
        f"-DICELANE_MAX_FLOWS={config.max_flows}",
        f'-DICELANE_PINS="{pins.directory}"',
    ]
    try:
        source = "".join((directory / name).read_text(encoding="ascii") for name in _SOURCES)
        module: _Module = BPF(text=source, cflags=flags)
    except Exception as error:  # noqa: BLE001  # bcc raises nothing more precise
        raise DataplaneError(f"The BPF program does not compile ({error}).") from None
    return module


def _load_program(module: _Module, name: bytes, kind: int, attach_type: int = -1) -> int:
    try:
        return int(module.load_func(name, kind, None, attach_type).fd)
    except Exception as error:  # noqa: BLE001  # bcc raises nothing more precise
        raise DataplaneError(f"The kernel refuses the BPF program ({error}).") from None


def _steer(pins: Pins, program: int) -> None:
    """Attach the steering program to this network namespace, then detach the one before."""
    link = bpfsys.link_create_netns(program, _ATTACH_TYPE_SK_LOOKUP)
    try:
        pins.replace(pins.steer_link, link)
    finally:
        os.close(link)


def _steers_here(pins: Pins) -> bool:
    """Whether the steering program is attached to this network namespace."""
    if not pins.steer_link.exists():
        return False
    with bpfsys.pinned(pins.steer_link) as link:
        return bpfsys.link_netns(link) == linux.netns_inode()


def _require_same_layout(module: _Module, pins: Pins) -> None:
    """Refuse to run the new program on pinned maps that it would misread.

    BCC has opened the pinned maps without a look at them; the kernel's type information says
    what they hold, and BCC's table classes what the new program was compiled for.
    """
    capacity, wanted = _capacity(pins), module[_FLOWS.encode()].max_entries // 2
    if capacity != wanted:
        raise DataplaneError(
            f"The running program has room for {capacity:,} flows, and {wanted:,} are wanted. Keep "
            f"--max-flows {capacity}, or change it at a quiet time, because all flows go with the "
            f"program: `icelane relay unload --instance {pins.instance}`, and load again."
        )
    for name in pins.maps():
        with PinnedMap(pins.map(name)) as pinned:
            try:
                table = module[name.encode()]
            except KeyError:  # the new program has no such map
                continue
            # For a per-CPU map, BCC makes an array of one value for each processor.
            leaf = table.Leaf._type_ if pinned.per_cpu else table.Leaf
            same = (
                pinned.info.max_entries == table.max_entries
                and pinned.key.shape() == tuple(_shape(table.Key, "", 0))
                and pinned.value.shape() == tuple(_shape(leaf, "", 0))
            )
        if not same:
            raise DataplaneError(
                f"The running program's map {name} has another layout or size than this version "
                f"and configuration want. Its flows go with it: at a quiet time, run "
                f"`icelane relay unload --instance {pins.instance}` and load again."
            )


def _shape(kind: type, path: str, offset: int) -> Iterator[tuple[str, int, int, int]]:
    """The shape of a ctypes class of BCC's, as `Layout.shape` gives it."""
    fields = getattr(kind, "_fields_", None)
    if fields is None:
        count = getattr(kind, "_length_", 1)
        yield path, offset, ctypes.sizeof(kind) // count, count
        return
    for name, inner, *_ in fields:
        inner_path = f"{path}.{name}" if path else name
        yield from _shape(inner, inner_path, offset + getattr(kind, name).offset)


def _allow_forwarding() -> None:
    """Switch forwarding on for the loopback interface, as which the program asks the FIB."""
    for name in _FORWARDING:
        try:
            if linux.sysctl(name) != 1:
                linux.sysctl(name, 1)
        except FileNotFoundError:  # a kernel without IPv6
            continue
        except OSError as error:
            raise DataplaneError(
                f"Cannot switch on {name} ({error.strerror}), which the program needs: "
                "sysctl net.ipv4.conf.lo.forwarding=1 net.ipv6.conf.lo.forwarding=1"
            ) from None


def main() -> int:
    """Do what standard input says."""
    try:
        report = load(LoadConfig.loads(sys.stdin.read()))
    except DataplaneError as error:
        sys.stdout.write(json.dumps({"error": str(error)}) + "\n")
        return 1
    sys.stdout.write(json.dumps({"report": report.dumps()}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
