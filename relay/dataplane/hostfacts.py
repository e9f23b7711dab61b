"""What a dataplane found on its host, for those who ask the agent."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self


def _release() -> str:
    return os.uname().release


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a dataplane found on its host, and what it did about it.

    Attributes:
        kernel: The kernel's release.
        interfaces: How the XDP program is attached, by interface: ``native`` or ``generic``.
        program: Where the compiled XDP program came from, for people.
        bpffs_mounted: Whether the BPF file system was missing and has been mounted.
        milliseconds: How long loading took, compiling and attaching included.
        attach_milliseconds: How long attaching took of that.
    """

    kernel: str = field(default_factory=_release)
    interfaces: Mapping[str, str] = field(default_factory=dict)
    program: str | None = None
    bpffs_mounted: bool | None = None
    milliseconds: int | None = None
    attach_milliseconds: int | None = None

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild what `as_json` returned."""
        return cls(**data)

    def __str__(self) -> str:
        """For people, in one line."""
        parts = [f"kernel {self.kernel}"]
        if self.interfaces:
            modes = ", ".join(f"{mode} on {name}" for name, mode in self.interfaces.items())
            parts.append(f"XDP {modes}")
        if self.program is not None:
            parts.append(f"program {self.program}")
        if self.bpffs_mounted is not None:
            parts.append(
                f"BPF file system {'mounted now' if self.bpffs_mounted else 'was mounted'}"
            )
        return "; ".join(parts)
