"""What goes wrong in a benchmark."""

from collections.abc import Iterator
from contextlib import contextmanager

from relay.errors import IcelaneError


class BenchError(IcelaneError):
    """A benchmark cannot do what was asked; the text says why and what to do."""


@contextmanager
def file_errors() -> Iterator[None]:
    """Turn the system's errors about files into those for people."""
    try:
        yield
    except OSError as error:
        raise BenchError(f"{error.filename}: {error.strerror}") from None
