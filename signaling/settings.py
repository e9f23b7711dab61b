"""The settings of signaling, as an operator gives them: the section ``[signaling]``."""

from typing import ClassVar

from relay.config.fields import Address, FilePath, setting
from relay.config.settings import Settings


class SignalingSettings(Settings):
    """Where signaling serves, and whom it knows."""

    section: ClassVar[str] = "signaling"

    listen: Address = setting(help="where to serve HTTP", metavar="IP:PORT")
    registry: FilePath = setting(help="the registry file: relays and transceivers", metavar="FILE")
