"""Layouts from type information: malformed tables, and every map of the program."""

import struct

import pytest

from relay.dataplane.errors import BtfError
from relay.dataplane.kernel.btf import Btf, Layout, Leaf, read_btf


def table(types: bytes, names: tuple[str, ...] = ()) -> bytes:
    """A BTF table with these types."""
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in names)
    header = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings))
    return header + types + strings


def kind(number: int, members: int = 0) -> int:
    """The info word of a type."""
    return number << 24 | members


U32 = struct.pack("=IIII", 1, kind(1), 4, 32)


def test_a_number() -> None:
    layout = Btf(table(U32, ("u32",))).layout(1)
    assert layout == Layout("u32", 4, (Leaf("", 0, 4, 1, "u32"),))
    assert layout.number(5) == struct.pack("=I", 5)
    assert layout.show(layout.number(5)) == {"": 5}


def test_a_table_that_is_read_again_is_not_parsed_again() -> None:
    one, other = table(U32, ("u32",)), table(U32, ("u64",))
    types = read_btf(one)
    assert read_btf(bytes(bytearray(one))) is types
    assert read_btf(other).layout(1).name == "u64"
    assert read_btf(one).layout(1).name == "u32"


def test_typedefs_name_what_they_rename() -> None:
    types = U32 + struct.pack("=III", 5, kind(8), 1)  # typedef u32 __be32
    layout = Btf(table(types, ("u32", "__be32"))).layout(2)
    assert layout.name == "__be32"
    assert layout.show(bytes([192, 0, 2, 1])) == {"": "192.0.2.1"}


def test_structures_and_arrays_flatten() -> None:
    types = (
        U32
        + struct.pack("=III", 0, kind(3), 0)
        + struct.pack("=III", 1, 1, 3)  # u32[3]
        + struct.pack("=III", 5, kind(4, 1), 12)
        + struct.pack("=III", 11, 2, 0)  # struct inner { u32 list[3]; }
        + struct.pack("=III", 16, kind(4, 2), 16)
        + struct.pack("=III", 22, 1, 0)
        + struct.pack("=III", 28, 3, 32)  # struct outer { u32 first; struct inner deep; }
    )
    layout = Btf(table(types, ("u32", "inner", "list", "outer", "first", "deep"))).layout(4)
    assert layout.shape() == (("first", 0, 4, 1), ("deep.list", 4, 4, 3))
    packed = layout.pack({"first": 1, "deep.list": bytes(range(12))})
    assert packed == struct.pack("=I", 1) + bytes(range(12))
    assert layout.show(packed) == {
        "first": 1,
        "deep.list": list(struct.unpack("=3I", bytes(range(12)))),
    }


@pytest.mark.parametrize(
    "data", [b"", b"\x9f\xeb", bytes(24), struct.pack(">H", 0xEB9F) + bytes(22)]
)
def test_what_is_no_btf(data: bytes) -> None:
    with pytest.raises(BtfError, match="no BTF"):
        Btf(data)


@pytest.mark.parametrize(
    "types",
    [
        struct.pack("=III", 0, kind(2), 0),  # a pointer
        U32 + struct.pack("=III", 0, kind(5, 1), 4) + struct.pack("=III", 0, 1, 0),  # a union
    ],
)
def test_what_no_map_of_ours_holds(types: bytes) -> None:
    btf = Btf(table(types, ("u32",)))
    with pytest.raises(BtfError, match="BTF kind"):
        btf.layout(2 if types.startswith(U32) else 1)


def test_an_ipv4_gateway_is_shown_as_one() -> None:
    gateway = Leaf("gateway", 0, 4, 4, "__be32")
    assert gateway.show(bytes([192, 0, 2, 1, *bytes(12)])) == "192.0.2.1"
    assert gateway.show(bytes.fromhex("20010db8") + bytes(11) + b"\x01") == "2001:db8::1"
    address = Leaf("client.word", 0, 4, 4, "__be32")
    assert address.show(bytes.fromhex("20010db8") + bytes(12)) == "2001:db8::"
