"""The compiled program, as it is kept: instructions, maps and type information. Pure.

BCC and clang make it once (`relay.dataplane.kernel.build`); after that bpf(2) alone loads it, in
milliseconds, on any machine of the same byte order: BPF instructions know no other difference,
and an XDP program uses nothing of the kernel but its stable interface.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from relay.errors import DataplaneError

FORMAT = 1
INSTRUCTION_SIZE = 8  # bytes of struct bpf_insn
# A load of 64 bits (BPF_LD | BPF_IMM | BPF_DW), whose source register says that it is a map.
_LOAD_64, _PSEUDO_MAP_FD = 0x18, 1


@dataclass(frozen=True, slots=True)
class MapSpec:
    """A map of the program.

    Attributes:
        name: At most 15 characters.
        type: Of enum bpf_map_type.
        key_size: Bytes.
        value_size: Bytes; of one processor's value, where each has its own.
        max_entries: For as many flows as `BpfObject.flows` says.
        flags: BPF_F_* of linux/bpf.h.
        key_type: The key's number in the type information; 0 where the kernel takes none.
        value_type: The value's.
    """

    name: str
    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    key_type: int
    value_type: int


@dataclass(frozen=True, slots=True)
class ProgramSpec:
    """A program.

    Attributes:
        name: Its function.
        type: Of enum bpf_prog_type.
        attach_type: Of enum bpf_attach_type, as it is checked when the program is loaded.
        instructions: An array of struct bpf_insn.
        maps: The maps that it uses: the number of the instruction that loads each, and its name.
    """

    name: str
    type: int
    attach_type: int
    instructions: bytes
    maps: tuple[tuple[int, str], ...]

    def linked(self, fds: Mapping[str, int]) -> bytes:
        """The instructions with the descriptors of the maps in their places."""
        code = bytearray(self.instructions)
        for number, name in self.maps:
            at = number * INSTRUCTION_SIZE + 4  # the immediate value
            code[at : at + 4] = fds[name].to_bytes(4, "little")
        return bytes(code)


@dataclass(frozen=True, slots=True)
class BpfObject:
    """All programs and maps, built together.

    Attributes:
        key: What they were built from, see `source_key`.
        built_with: For people: the versions of BCC and of the kernel's headers.
        types: Type information in the format of the kernel's Documentation/bpf/btf.rst.
        maps: The maps by name.
        programs: The programs by name.
    """

    key: bytes
    built_with: str
    types: bytes
    maps: Mapping[str, MapSpec]
    programs: Mapping[str, ProgramSpec]

    def dumps(self) -> str:
        """The object as the text of a file."""
        programs = [
            asdict(each) | {"instructions": base64.b64encode(each.instructions).decode()}
            for each in self.programs.values()
        ]
        return json.dumps(
            {
                "format": FORMAT,
                "key": self.key.hex(),
                "built_with": self.built_with,
                "types": base64.b64encode(self.types).decode(),
                "maps": [asdict(each) for each in self.maps.values()],
                "programs": programs,
            },
            indent=1,
        )

    @classmethod
    def loads(cls, text: str) -> Self:
        """Read what `dumps` wrote.

        Raises:
            DataplaneError: It is damaged, or of another format.
        """
        try:
            document = json.loads(text)
            if document["format"] != FORMAT:
                raise DataplaneError(f"The object has format {document['format']}, not {FORMAT}.")
            return cls(
                bytes.fromhex(document["key"]),
                document["built_with"],
                base64.b64decode(document["types"]),
                {each["name"]: MapSpec(**each) for each in document["maps"]},
                {each["name"]: _program(each) for each in document["programs"]},
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataplaneError(f"The object is damaged: {error!r}.") from None


def source_key(sources: Mapping[str, bytes]) -> bytes:
    """What tells one object from another: 32 bytes of its sources."""
    digest = hashlib.sha256(f"{FORMAT}\0".encode())
    for name in sorted(sources):
        digest.update(name.encode() + b"\0" + hashlib.sha256(sources[name]).digest())
    return digest.digest()


def map_references(instructions: bytes) -> list[tuple[int, int]]:
    """Where instructions load maps: the numbers of these instructions, and the descriptors."""
    found = []
    for at in range(0, len(instructions), INSTRUCTION_SIZE):
        code, registers = instructions[at], instructions[at + 1]
        if code == _LOAD_64 and registers >> 4 == _PSEUDO_MAP_FD:
            descriptor = int.from_bytes(instructions[at + 4 : at + 8], "little")
            found.append((at // INSTRUCTION_SIZE, descriptor))
    return found


def _program(fields: dict[str, Any]) -> ProgramSpec:
    return ProgramSpec(
        fields["name"],
        fields["type"],
        fields["attach_type"],
        base64.b64decode(fields["instructions"]),
        tuple((number, name) for number, name in fields["maps"]),
    )
