"""The program of a version that had another hash of tuples, and so another index of the flows.

It is today's program with an index of another layout, which today's loader cannot take as it is.
"""

import os
import sys
from contextlib import ExitStack, closing
from dataclasses import replace

from relay.dataplane.kernel import bpfload, bpfsys, objects
from relay.dataplane.kernel.attach import update_links
from relay.dataplane.kernel.bpfobject import BpfObject
from relay.dataplane.kernel.loader import TAIL_PROGRAMS
from relay.dataplane.kernel.maps import FLOW_INDEX, TAILS, Maps
from relay.dataplane.kernel.memory import MappedArray
from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Pins

_TODAYS, _FORMER = b"\0entry\0", b"\0slots\0"  # the name of a bucket's entries


def run_former_index(pins: Pins) -> None:
    """Let an instance run with the earlier version's index of the flows that it has.

    No packet is lost meanwhile. No agent may run.
    """
    wanted = _former(objects.find_or_build().object)
    with ExitStack() as opened:
        with closing(MappedArray(pins.opened(FLOW_INDEX))) as index:
            buckets, entries = index.count, bytes(index.octets)
        maps = Maps(wanted, pins, {FLOW_INDEX: buckets}, opened)
        maps.open()
        with closing(MappedArray(pins.opened(FLOW_INDEX))) as index:
            index.octets[:] = entries
        programs: dict[str, int] = {}
        for name in ("relay", *TAIL_PROGRAMS):
            spec = wanted.programs[name]
            programs[name] = bpfload.program_load(
                spec.linked(maps.fds), spec.type, spec.attach_type, name=name
            )
            opened.callback(os.close, programs[name])
        for place, name in enumerate(TAIL_PROGRAMS):
            bpfsys.map_update(maps.fds[TAILS], _number(place), _number(programs[name]))
        pins.replace(pins.program, programs["relay"])
        update_links(pins, pins.program)
        pins.replace(pins.tails, maps.fds[TAILS])
    with PinnedMap(pins.map("build")) as build:
        build.update(build.key.number(0), bytes(build.value.size))


def _number(value: int) -> bytes:
    return value.to_bytes(4, sys.byteorder)


def _former(today: BpfObject) -> BpfObject:
    assert today.types.count(_TODAYS) == 1
    return replace(today, types=today.types.replace(_TODAYS, _FORMER))
