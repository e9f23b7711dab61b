"""A pinned map, as the kernel has it, with the layout of its entries."""

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Self

from relay.dataplane.kernel import bpfsys
from relay.dataplane.kernel.btf import read_btf
from relay.errors import DataplaneError

Items = Iterable[tuple[bytes, bytes]]
_BATCH = 4096  # entries read at a time; 300 KB of buffers for the largest entry


def not_loaded(instance: str) -> DataplaneError:
    """What to say of an instance of which nothing is pinned."""
    return DataplaneError(
        f"{instance} is not loaded. `icelane relay load` loads it, "
        "`icelane relay status` shows what is loaded."
    )


def missing_map(path: Path) -> DataplaneError:
    """What to say where no map is pinned at a path of an instance."""
    if not path.parent.exists():
        return not_loaded(path.parent.name)
    return DataplaneError(
        f"There is no pinned map {path}. Load the program with `icelane relay load`."
    )


class HeldMap(NamedTuple):
    """A map that is open.

    Attributes:
        fd: Its descriptor.
        types: The type information of its entries, as the kernel gives it (BTF).
    """

    fd: int
    types: bytes

    @classmethod
    def at(cls, path: Path) -> Self:
        """The one that is pinned at a path.

        Raises:
            DataplaneError: There is none, or it may not be opened.
        """
        try:
            fd = bpfsys.obj_get(path)
        except FileNotFoundError:
            raise missing_map(path) from None
        except PermissionError:
            raise DataplaneError(f"Opening the pinned map {path} needs root.") from None
        except OSError as error:  # such as no free file
            raise DataplaneError(
                f"The pinned map {path} cannot be opened: {error.strerror}."
            ) from None
        with ExitStack() as opened:
            opened.callback(os.close, fd)
            number = bpfsys.map_info(fd).btf_id
            if not number:  # all of ours have types
                raise DataplaneError(
                    f"{path} is a map of somebody else: at a quiet time, because flows go with it, "
                    f"run `icelane relay unload --instance {path.parent.name}` and load again."
                )
            try:
                types = bpfsys.btf_data(number)
            except OSError as error:
                raise DataplaneError(
                    f"The types of the pinned map {path} cannot be had: {error.strerror}."
                ) from None
            opened.pop_all()
        return cls(fd, types)


class PinnedMap:
    """A pinned map and the layout of its entries.

    Args:
        pin: Where it is pinned; or it, held open, which this closes.

    Raises:
        DataplaneError: There is none, or it may not be opened.
    """

    def __init__(self, pin: Path | HeldMap) -> None:
        held = HeldMap.at(pin) if isinstance(pin, Path) else pin
        self._fd = held.fd
        self.info = bpfsys.map_info(self._fd)
        types = read_btf(held.types)
        self.key = types.layout(self.info.key_type_id)
        self.value = types.layout(self.info.value_type_id)
        self.per_cpu = self.info.type == bpfsys.MapType.PERCPU_ARRAY
        self._stride = (self.value.size + 7) // 8 * 8 if self.per_cpu else self.value.size
        self._lookup_size = self._stride * (bpfsys.possible_cpus() if self.per_cpu else 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the map; it stays pinned."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def fileno(self) -> int:
        """The map's descriptor."""
        return self._fd

    def lookup(self, key: bytes) -> bytes | None:
        """A value, or None. Of a per-CPU map, that of every processor in turn."""
        return bpfsys.map_lookup(self._fd, key, self._lookup_size)

    def update(self, key: bytes, value: bytes) -> None:
        """Set a value; OSError with E2BIG when the map is full."""
        bpfsys.map_update(self._fd, key, value)

    def delete(self, key: bytes) -> bool:
        """Delete an entry; says whether it was there."""
        return bpfsys.map_delete(self._fd, key)

    def reader(self) -> bpfsys.BatchReader:
        """A reader of the entries of a hash, in large batches."""
        return bpfsys.BatchReader(
            self._fd, self.key.size, self.value.size, min(_BATCH, self.info.max_entries)
        )

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All entries. Those that come or go meanwhile may be among them or not."""
        if self.info.type == bpfsys.MapType.HASH:
            reader = self.reader()
            while entries := reader.read():
                yield from entries
            return
        for index in range(self.info.max_entries):
            key = self.key.number(index)
            value = self.lookup(key)
            if value is not None:
                yield key, value

    def show(self, some: Items | None = None) -> Iterator[dict[str, Any]]:
        """Entries for people, some or all in use: one for each processor of a per-CPU map."""
        for key, value in self.items() if some is None else some:
            # Zero in an array that user space writes as memory is not in use.
            if some is None and self.info.flags & bpfsys.MMAPABLE and not any(value):
                continue
            shown: dict[str, Any] = {"key": self.key.show(key)}
            if not self.per_cpu:
                yield shown | {"value": self.value.show(value)}
                continue
            for cpu, part in enumerate(self.by_cpu(value)):
                yield shown | {"cpu": cpu, "value": self.value.show(part)}

    @property
    def kind(self) -> str:
        """The kind of map, as BPF calls it."""
        return bpfsys.MapType(self.info.type).name.lower()

    def by_cpu(self, value: bytes) -> list[bytes]:
        """The values of each processor in what `lookup` gave."""
        return [
            value[start : start + self.value.size] for start in range(0, len(value), self._stride)
        ]

    def sync(self, wanted: dict[bytes, bytes]) -> None:
        """Make the entries of a hash exactly those; what is wanted is never missing meanwhile."""
        for key, value in wanted.items():
            self.update(key, value)
        for key, _ in list(self.items()):
            if key not in wanted:
                self.delete(key)
