"""The layouts that docs/maps.md shows are those that the compiler has made."""

from collections.abc import Iterator

import pytest

from relay.dataplane.kernel import objects
from relay.dataplane.kernel.bpfobject import BpfObject
from relay.dataplane.kernel.btf import read_btf
from tests.docs import header

pytestmark = pytest.mark.bpf

Flat = tuple[tuple[str, int, int], ...]


@pytest.fixture(scope="module")
def built() -> BpfObject:
    return objects.find_or_build().object


def test_members_are_where_the_compiler_has_put_them(built: BpfObject) -> None:
    types, structs = read_btf(built.types), header.structs()
    compared = 0
    for each in header.maps():
        spec = built.maps[each.name]
        for number, name in ((spec.key_type, each.key), (spec.value_type, each.value)):
            if not number or not name.startswith("struct "):
                continue
            layout = types.layout(number)
            leaves = tuple(
                (leaf.path, leaf.offset, leaf.size * leaf.count) for leaf in layout.leaves
            )
            struct = structs[name.removeprefix("struct ")]
            assert tuple(_flat(struct, structs)) == leaves, name
            assert struct.size == layout.size, name
            compared += 1
    assert compared > 10


def test_maps_are_as_many_and_as_large(built: BpfObject) -> None:
    structs = header.structs()
    found = {each.name: each for each in header.maps()}
    # Which are no tables of entries.
    assert set(found) | {"tails", "trace_tails", "trace_records"} == set(built.maps)
    for name, each in found.items():
        spec = built.maps[name]
        assert each.entries == spec.max_entries, name
        sizes = (header.size_of(each.key, structs), header.size_of(each.value, structs))
        assert sizes == (spec.key_size, spec.value_size), name


def _flat(
    struct: header.Struct, structs: dict[str, header.Struct], path: str = "", at: int = 0
) -> Iterator[tuple[str, int, int]]:
    for each in struct.members:
        inner = structs.get(each.type.removeprefix("struct "))
        if inner and each.type.startswith("struct "):
            yield from _flat(inner, structs, f"{path}{each.name}.", at + each.offset)
        else:
            yield f"{path}{each.name}", at + each.offset, each.size
