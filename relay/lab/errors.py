"""What goes wrong in a lab."""


class LabError(Exception):
    """A lab cannot do what was asked; the text says why and what to do."""
