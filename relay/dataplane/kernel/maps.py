"""The maps of an instance while it is loaded: those that are there, and new ones."""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from relay.dataplane.kernel import bpfload, bpfsys
from relay.dataplane.kernel.bpfobject import BpfObject, MapSpec
from relay.dataplane.kernel.btf import read_btf
from relay.dataplane.kernel.pins import Pins
from relay.errors import DataplaneError

TAILS = "tails"  # of one version alone, so that it is replaced with its program in one step
DORMANT_CLIENTS = "dormant_clients"
EDGES = "edges"
_STEER_SOCKETS = "steer_sockets"
#: Made for as long as somebody follows a client, see `relay.dataplane.kernel.tracing`.
TRACE_TAILS = "trace_tails"
TRACE_MAPS = (
    *("trace_setup", "trace_lease", "trace_held", "trace_counts", "trace_records"),
    TRACE_TAILS,
)
#: Where flows are by their clients: written anew from the records if it is not as wanted.
FLOW_INDEX = "flow_index"
#: What nobody could write anew. All else is written whenever the program is loaded, but for counts.
FLOW_MAPS = (
    "flow_records",
    "flow_routes",
    "flow_hash",
    "own_vips",
    "own_upstreams",
    "own_slots",
    "transceivers",
)

#: All that is pinned of a loaded instance and can be read. What is not of flows may be made anew.
PINNED = frozenset(
    {
        *(*FLOW_MAPS, FLOW_INDEX, DORMANT_CLIENTS, EDGES, "ways_out"),
        *("build", "counters", "losses", "leases", "hops", "ingresses", "tx_ports"),
        *(
            "own_vlans",
            "route_keys",
            "rate_limits",
            "token_buckets",
            "ufrag_buckets",
            "prefix_buckets",
        ),
    }
)

# Those that have as many entries as the configuration wants.
_SIZED = (*FLOW_MAPS, FLOW_INDEX, DORMANT_CLIENTS)


def has_layout(pins: Pins, wanted: BpfObject, name: str) -> bool:
    """Whether a pinned map is as a program wants it: kind, number of entries, and their layout.

    Of those that are sized by the configuration the number is as it is.
    """
    spec, types = wanted.maps[name], read_btf(wanted.types)
    with pins.opened(name) as pinned:
        return (
            pinned.info.type == spec.type
            and (name in _SIZED or pinned.info.max_entries == spec.max_entries)
            and pinned.key.shape() == types.layout(spec.key_type).shape()
            and pinned.value.shape() == types.layout(spec.value_type).shape()
        )


def make(spec: MapSpec, types: int, size: int) -> int:
    """Make a map; a descriptor of it.

    Args:
        spec: What it is like.
        types: A descriptor of the object's type information.
        size: For how many entries.

    Raises:
        DataplaneError: The kernel makes none.
    """
    numbers = (types, spec.key_type, spec.value_type) if spec.key_type else (0, 0, 0)
    try:
        return bpfload.map_create(
            *(spec.type, spec.key_size, spec.value_size, size, spec.flags, spec.name), numbers
        )
    except OSError as error:
        raise DataplaneError(
            f"The kernel makes no map {spec.name} of {size:,} entries ({error.strerror})."
        ) from None


class Maps:
    """The maps that a program wants.

    Args:
        wanted: The program's object.
        pins: The instance.
        sizes: How many entries maps have whose number is a matter of configuration.
        opened: What keeps the descriptors open.

    Attributes:
        fds: The maps' descriptors by name.
    """

    def __init__(
        self, wanted: BpfObject, pins: Pins, sizes: Mapping[str, int], opened: ExitStack
    ) -> None:
        self.fds: dict[str, int] = {}
        self._wanted = wanted
        self._pins = pins
        self._sizes = sizes
        self._opened = opened
        self._new: list[str] = []
        self._replaced: dict[str, int] = {}

    def open(self) -> None:
        """Open those that are pinned and fit; make the others, and pin them.

        The running program keeps those that it has: a pin's new map is for the next program.

        Raises:
            DataplaneError: The kernel makes none.
        """
        types = self._keep(bpfload.btf_load(self._wanted.types))
        for spec in self._wanted.maps.values():
            if spec.name in TRACE_MAPS:
                continue
            path = self._path(spec.name)
            if spec.name == TAILS:
                self.fds[spec.name] = self._make(spec, types)
            elif not path.exists():
                self.fds[spec.name] = self._make(spec, types)
                bpfsys.obj_pin(self.fds[spec.name], path)
                self._new.append(spec.name)
            elif spec.name == _STEER_SOCKETS or has_layout(self._pins, self._wanted, spec.name):
                self.fds[spec.name] = self._keep(bpfsys.obj_get(path))
            else:
                self._replaced[spec.name] = self._keep(bpfsys.obj_get(path))
                self.fds[spec.name] = self._make(spec, types)
                self._pins.replace(path, self.fds[spec.name])

    def undo(self) -> None:
        """Let what is pinned be what it was."""
        for name in self._new:
            self._path(name).unlink(missing_ok=True)
        for name, fd in self._replaced.items():
            self._pins.replace(self._path(name), fd)

    def _make(self, spec: MapSpec, types: int) -> int:
        return self._keep(make(spec, types, self._sizes.get(spec.name, spec.max_entries)))

    def _path(self, name: str) -> Path:
        return self._pins.steer_sockets if name == _STEER_SOCKETS else self._pins.map(name)

    def _keep(self, fd: int) -> int:
        self._opened.callback(os.close, fd)
        return fd
