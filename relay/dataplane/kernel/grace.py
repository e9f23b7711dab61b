"""Waiting until no program reads any more what was taken out of a map."""

import os
import sys
from typing import Self

from relay.dataplane.kernel import bpfload, bpfsys

_FOUR = 4  # bytes of key and value


class GracePeriod:
    """Waits for the programs that run at a moment.

    Whoever exchanges a map inside a map is told by the kernel when all programs are done with the
    one before (`maybe_wait_bpf_programs` of kernel/bpf/syscall.c). So this exchanges one that
    nobody uses. (membarrier(2) waits for the same, but not on machines with full dynamic ticks.)
    """

    def __init__(self) -> None:
        self._inner = bpfload.map_create(bpfsys.MapType.ARRAY, _FOUR, _FOUR, 1, 0, "grace")
        try:
            self._outer = bpfload.map_create(
                bpfsys.MapType.ARRAY_OF_MAPS, _FOUR, _FOUR, 1, 0, "grace", inner=self._inner
            )
        except OSError:
            os.close(self._inner)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self) -> None:
        """Return when all programs that ran when this was called have ended: some milliseconds."""
        bpfsys.map_update(self._outer, bytes(_FOUR), self._inner.to_bytes(4, sys.byteorder))

    def close(self) -> None:
        """Let go of the maps."""
        os.close(self._outer)
        os.close(self._inner)
