"""Which back end a call gets, and what is listed."""

import pytest

from transceiver.backend import EchoBackend, Wanted
from transceiver.bridge.backend import ServiceBackend
from transceiver.bridge.services import Services
from transceiver.bridge.table import Service, Table
from transceiver.errors import ModelError

TABLE = Table(
    (
        Service("mine", "ws://127.0.0.1:9/", models=("m",)),
        Service("echo", None, models=("echo",)),
    )
)


async def test_a_call_gets_what_its_client_wants() -> None:
    async with Services(TABLE) as services:
        backend = services.make("rtc_x", Wanted(model="m"))
        assert isinstance(backend, ServiceBackend)
        backend.close()
        assert isinstance(services.make("rtc_x", Wanted(model="echo")), EchoBackend)
        with pytest.raises(ModelError):
            services.make("rtc_x", Wanted(model="n"))


async def test_models_are_listed_as_the_api_does() -> None:
    async with Services(TABLE) as services:
        assert services.models(None) == [
            {"id": "m", "object": "model", "owned_by": "mine"},
            {"id": "echo", "object": "model", "owned_by": "echo"},
        ]
