"""The layout of map keys and values, read from the type information that the kernel keeps.

BTF (Documentation/bpf/btf.rst) is a table of C types. Icelane's structures hold numbers, arrays of
numbers and further structures, so each flattens into a list of leaves with dotted names. That is
enough to read and write entries, to show them, and to tell whether two layouts are the same;
bpf/relay.h stays the only place that defines them.
"""

import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from ipaddress import IPv6Address
from socket import inet_ntoa
from typing import Literal

from relay.dataplane.errors import BtfError

_HEADER = struct.Struct("=HBBIIIII")
_TYPE = struct.Struct("=III")
_MEMBER = struct.Struct("=III")
_ARRAY = struct.Struct("=III")
_MAGIC = 0xEB9F

_INT, _ARRAY_KIND, _STRUCT, _ENUM, _TYPEDEF = 1, 3, 4, 6, 8
_QUALIFIERS = {9, 10, 11, 18}  # volatile, const, restrict, type tag
# Bytes after the common part of a type, by kind: fixed, and for each of its `vlen` members.
_FIXED = {_INT: 4, _ARRAY_KIND: 12, 14: 4, 17: 4}
_PER_MEMBER = {_STRUCT: 12, 5: 12, _ENUM: 8, 13: 8, 15: 12, 19: 12}


@dataclass(frozen=True, slots=True)
class Leaf:
    """A number or an array of numbers within a structure.

    Attributes:
        path: Its name with those of the structures around it, such as ``rewrite.src``.
        offset: Where it starts, in bytes.
        size: Bytes of one number.
        count: How many numbers; 1 unless it is an array.
        type_name: The C type as written, such as ``__be32``.
    """

    path: str
    offset: int
    size: int
    count: int
    type_name: str

    @property
    def span(self) -> slice:
        """Where its bytes are."""
        return slice(self.offset, self.offset + self.size * self.count)

    @property
    def byte_order(self) -> Literal["big", "little"]:
        """That of one number: the kernel's names for types on the wire tell."""
        return "big" if self.type_name.startswith("__be") else sys.byteorder

    @property
    def label(self) -> str:
        """What people call it: its path, without the word array inside an address."""
        return (
            self.path.removesuffix("word").rstrip(".") or "address"
            if self.is_address
            else self.path
        )

    @property
    def is_address(self) -> bool:
        """Whether it is the content of `struct address`."""
        return self.type_name == "__be32" and self.count == 4

    def show(self, data: bytes) -> int | str | list[int]:
        """Its value for people: an address, numbers, or the hex digits of several bytes."""
        raw = data[self.span]
        if self.path.endswith("secret"):
            return "(secret)"
        if self.type_name == "__be32":
            # What the FIB says is no `struct address`: an IPv4 gateway is its first word alone.
            is_ipv4 = self.count == 1 or (self.path == "gateway" and not any(raw[self.size :]))
            return inet_ntoa(raw[: self.size]) if is_ipv4 else _show_address(raw)
        if self.count > 1 and self.size == 1:
            return raw.hex()
        numbers = [
            int.from_bytes(raw[at : at + self.size], self.byte_order)
            for at in range(0, len(raw), self.size)
        ]
        return numbers if self.count > 1 else numbers[0]


@dataclass(frozen=True)
class Layout:
    """A flattened type.

    Attributes:
        name: The name of the C type.
        size: Its size in bytes.
        leaves: Its parts in order, padding included. A plain number has one, with an empty path.
    """

    name: str
    size: int
    leaves: tuple[Leaf, ...]

    @cached_property
    def spans(self) -> dict[str, slice]:
        """Where the bytes of each leaf are, by its path."""
        return {leaf.path: leaf.span for leaf in self.leaves}

    def show(self, data: bytes) -> dict[str, int | str | list[int]]:
        """The values for people by label, without padding; a plain number's label is empty."""
        return {
            leaf.label: leaf.show(data)
            for leaf in self.leaves
            if not leaf.path.rpartition(".")[2].startswith("pad")
        }

    def pack(self, values: Mapping[str, bytes | int]) -> bytes:
        """An entry from some of its leaves by path, raw or as numbers; the rest is zero."""
        data = bytearray(self.size)
        for leaf in self.leaves:
            value = values.get(leaf.path, 0)
            size = leaf.size * leaf.count
            raw = value if isinstance(value, bytes) else value.to_bytes(size, leaf.byte_order)
            data[leaf.offset : leaf.offset + size] = raw
        return bytes(data)

    def number(self, value: int) -> bytes:
        """A key or value that is a plain number."""
        return self.pack({"": value})

    def shape(self) -> tuple[tuple[str, int, int, int], ...]:
        """What two layouts must share to be the same: names, offsets, sizes and counts."""
        return tuple((leaf.path, leaf.offset, leaf.size, leaf.count) for leaf in self.leaves)


@dataclass(frozen=True, slots=True)
class _Type:
    name: str
    kind: int
    members: int
    size_or_type: int
    tail: bytes


class Btf:
    """A table of types.

    Args:
        data: The bytes of the table, as the kernel gives them.

    Raises:
        BtfError: They are no BTF of this machine's byte order.
    """

    def __init__(self, data: bytes) -> None:
        if len(data) < _HEADER.size or _HEADER.unpack_from(data)[0] != _MAGIC:
            raise BtfError("this is no BTF of this machine's byte order")
        _, _, _, header, types, types_size, strings, strings_size = _HEADER.unpack_from(data)
        self._strings = data[header + strings : header + strings + strings_size]
        self._types = [_Type("void", 0, 0, 0, b"")]
        self._types += self._read_types(data[header + types : header + types + types_size])

    def layout(self, type_id: int) -> Layout:
        """The layout of a type.

        Raises:
            BtfError: It holds something else than numbers, arrays of them, and structures.
        """
        leaves = tuple(self._flatten(type_id, "", 0))
        return Layout(self._name(type_id), self._size(type_id), leaves)

    def _read_types(self, table: bytes) -> Iterator[_Type]:
        offset = 0
        while offset < len(table):
            name, info, size_or_type = _TYPE.unpack_from(table, offset)
            offset += _TYPE.size
            kind, members = info >> 24 & 0x1F, info & 0xFFFF
            end = offset + _FIXED.get(kind, 0) + _PER_MEMBER.get(kind, 0) * members
            yield _Type(self._string(name), kind, members, size_or_type, table[offset:end])
            offset = end

    def _string(self, offset: int) -> str:
        return self._strings[offset : self._strings.index(b"\0", offset)].decode()

    def _resolve(self, type_id: int) -> _Type:
        """The type behind typedefs and qualifiers."""
        found = self._types[type_id]
        while found.kind == _TYPEDEF or found.kind in _QUALIFIERS:
            found = self._types[found.size_or_type]
        return found

    def _name(self, type_id: int) -> str:
        found = self._types[type_id]
        while found.kind in _QUALIFIERS:
            found = self._types[found.size_or_type]
        return found.name

    def _size(self, type_id: int) -> int:
        found = self._resolve(type_id)
        if found.kind == _ARRAY_KIND:
            element, _, count = _ARRAY.unpack(found.tail)
            return self._size(element) * int(count)
        return found.size_or_type

    def _flatten(self, type_id: int, path: str, offset: int) -> Iterator[Leaf]:
        found = self._resolve(type_id)
        if found.kind in (_INT, _ENUM):
            yield Leaf(path, offset, found.size_or_type, 1, self._name(type_id))
        elif found.kind == _ARRAY_KIND:
            element, _, count = _ARRAY.unpack(found.tail)
            if self._resolve(element).kind not in (_INT, _ENUM):
                raise BtfError(f"{path} is an array of something else than numbers")
            yield Leaf(path, offset, self._size(element), count, self._name(element))
        elif found.kind == _STRUCT:
            for name, member, bits in _MEMBER.iter_unpack(found.tail):
                inner = f"{path}.{self._string(name)}" if path else self._string(name)
                # With the kind flag the highest byte is a bit field's width: none here has one.
                yield from self._flatten(member, inner, offset + (bits & 0xFFFFFF) // 8)
        else:
            raise BtfError(f"{path or 'the type'} is of BTF kind {found.kind}")


@lru_cache(1)
def read_btf(data: bytes) -> Btf:
    """The types of a table, as the kernel gives it; all maps of an instance have the same.

    Raises:
        BtfError: It is no BTF of this machine's byte order.
    """
    return Btf(data)


def _show_address(raw: bytes) -> str:
    address = IPv6Address(raw)
    return str(address.ipv4_mapped or address)
