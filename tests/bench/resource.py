"""What is open from entering a `with` block to leaving it."""

from abc import ABC, abstractmethod
from contextlib import ExitStack
from typing import Self


class Resource(ABC):
    """A resource of several parts: what was opened is closed in reverse order, also on failure."""

    _stack: ExitStack

    def __enter__(self) -> Self:
        """Open it; the errors are those of `_open`."""
        with ExitStack() as stack:
            self._open(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._stack.close()

    @abstractmethod
    def _open(self, stack: ExitStack) -> None:
        """Open the parts, and let the stack close them."""
