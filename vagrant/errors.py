"""The error of the virtual machine."""

from relay.errors import IcelaneError


class MachineError(IcelaneError):
    """The virtual machine cannot do what was asked; the text says why and what to do."""
