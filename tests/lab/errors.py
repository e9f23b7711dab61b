"""The error of the lab."""

from relay.errors import IcelaneError


class LabError(IcelaneError):
    """A lab cannot do what was asked; the text says why and what to do."""
