"""The settings of a transceiver, as an operator gives them: the section ``[transceiver]``."""

from typing import Annotated, ClassVar

from pydantic import Field

from relay.config.fields import Address, FilePath, HostAddress, WholeNumber, setting
from relay.config.settings import Settings
from transceiver import DEFAULT_CAPACITY


class TransceiverSettings(Settings):
    """See `transceiver.server.TransceiverConfig`, which they make."""

    section: ClassVar[str] = "transceiver"

    listen: HostAddress = setting(
        help="UDP address of media, as relays reach it", metavar="IP:PORT"
    )
    control: Address = setting(
        help="address of the control API (HTTP, for signaling; internal)", metavar="IP:PORT"
    )
    keys: FilePath = setting(help="the key file; `icelane keys new` makes one", metavar="FILE")
    cluster: Annotated[WholeNumber, Field(ge=0, le=0xFFFF)] = setting(
        1, help="number of the cluster", metavar="NUMBER"
    )
    slot: Annotated[WholeNumber, Field(ge=0, le=0xFFFFFF)] = setting(
        1, help="number of this transceiver in it", metavar="NUMBER"
    )
    generation: Annotated[WholeNumber, Field(ge=0, le=0xFF)] = setting(
        1, help="counts the owners of the slot", metavar="NUMBER"
    )
    capacity: Annotated[WholeNumber, Field(ge=1)] = setting(
        DEFAULT_CAPACITY, help="the most sessions at a time", metavar="NUMBER"
    )
