"""The settings of an agent, as an operator gives them: the section ``[agent]``."""

from typing import Annotated, ClassVar

from pydantic import Field

from relay.config.fields import Address, Text, WholeNumber, setting
from relay.config.settings import Settings
from relay.wire.endpoint import Endpoint
from transceiver.agent.speech.recogniser import DEFAULT

DEFAULT_CAPACITY = 100


class AgentSettings(Settings):
    """See `transceiver.agent.service.AgentService`, which they make."""

    section: ClassVar[str] = "agent"

    listen: Address = setting(
        Endpoint("127.0.0.1", 8090),
        help="where the Realtime service is served (HTTP and WebSocket, without keys: internal)",
        metavar="IP:PORT",
    )
    recogniser: Text = setting(
        DEFAULT, help="what hears words: a class of Python", metavar="MODULE:NAME"
    )
    capacity: Annotated[WholeNumber, Field(ge=1)] = setting(
        DEFAULT_CAPACITY, help="the most sessions at a time", metavar="NUMBER"
    )
