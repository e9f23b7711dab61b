"""The compiled program as a file."""

import json
from dataclasses import replace

import pytest

from relay.dataplane.kernel.bpfobject import (
    BpfObject,
    MapSpec,
    ProgramSpec,
    map_references,
    source_key,
)
from relay.errors import DataplaneError

# r1 = map (two instructions), r0 = 2, exit
LOAD_MAP = bytes.fromhex("18 11 00 00 07 00 00 00  00 00 00 00 00 00 00 00")
REST = bytes.fromhex("b7 00 00 00 02 00 00 00  95 00 00 00 00 00 00 00")
LOAD_NUMBER = bytes.fromhex("18 01 00 00 07 00 00 00  00 00 00 00 00 00 00 00")

OBJECT = BpfObject(
    key=bytes(range(32)),
    built_with="BCC 0.26.0, kernel headers 6.1.0",
    types=b"\x9f\xeb types",
    maps={"flows": MapSpec("flows", 1, 12, 64, 2, 0, 1, 8)},
    programs={"relay": ProgramSpec("relay", 6, 37, LOAD_MAP + REST, ((0, "flows"),))},
)


def test_it_reads_back_as_it_was_written() -> None:
    assert BpfObject.loads(OBJECT.dumps()) == OBJECT


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda _: "", "damaged"),
        (lambda text: text[: len(text) // 2], "damaged"),
        (lambda _: "[]", "damaged"),
        (lambda text: text.replace('"maps"', '"map"'), "damaged"),
        (lambda text: text.replace('"key": "00', '"key": "zz'), "damaged"),
        (lambda text: json.dumps(json.loads(text) | {"format": 99}), "format 99, not 1"),
    ],
    ids=["empty", "cut off", "no object", "no maps", "no key", "another format"],
)
def test_what_is_none_is_refused(change: "object", says: str) -> None:
    assert callable(change)
    with pytest.raises(DataplaneError, match=says):
        BpfObject.loads(change(OBJECT.dumps()))


def test_maps_are_put_where_instructions_load_them() -> None:
    code = REST + LOAD_NUMBER + LOAD_MAP
    assert map_references(code) == [(4, 7)]
    spec = replace(OBJECT.programs["relay"], instructions=code, maps=((4, "flows"),))
    linked = spec.linked({"flows": 0x0102})
    assert map_references(linked) == [(4, 0x0102)]
    assert linked.replace(b"\x02\x01", b"\x07\x00") == code


def test_the_key_tells_sources_apart() -> None:
    sources = {"a.c": b"int a;", "b.h": b""}
    key = source_key(sources)
    assert key == source_key(dict(reversed(sources.items())))
    others = [
        source_key(sources | {"a.c": b"int b;"}),
        source_key({"a.c": b"int a;"}),
        source_key({"a.c": b"", "b.h": b"int a;"}),
    ]
    assert len({key, *others}) == 4
