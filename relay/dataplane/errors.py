"""What may go wrong with a dataplane, below `relay.errors.DataplaneError`."""

from relay.errors import DataplaneError


class DataplaneFull(DataplaneError):  # noqa: N818  # named after the condition, as queue.Full
    """There is no room for another flow; nothing was installed and nobody was evicted."""


class AttachError(DataplaneError):
    """A driver does not take the program in the mode that was asked for."""


class BtfError(DataplaneError):
    """Type information is malformed, or holds a type that no map of Icelane has."""
