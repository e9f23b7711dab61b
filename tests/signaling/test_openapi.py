"""The description is valid, and of exactly the routes that are served."""

from typing import Any

import aiohttp
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from signaling.openapi import OPENAPI, description
from signaling.server import SignalingServer

METHODS = {"get", "head", "post", "put", "patch", "delete", "options", "trace"}


async def test_the_description_is_valid_openapi(
    http: aiohttp.ClientSession, real_server: SignalingServer
) -> None:
    async with http.get(real_server.url + OPENAPI) as response:
        assert response.status == 200
        assert response.content_type == "application/json"
        told = await response.json()
    assert told == description()
    OpenAPIV31SpecValidator(told).validate()


def test_each_route_is_described_and_nothing_else(real_server: SignalingServer) -> None:
    described = {
        (method.upper(), path)
        for path, item in description()["paths"].items()
        for method in item.keys() & METHODS
    }
    served = {
        (route.method, route.resource.canonical)
        for route in real_server._application().router.routes()
        if route.resource is not None
    }
    assert described == served


def test_names_of_operations_are_of_one_each() -> None:
    names = [
        item[method]["operationId"]
        for item in description()["paths"].values()
        for method in item.keys() & METHODS
    ]
    assert len(names) == len(set(names))


def references(node: Any) -> set[str]:
    match node:
        case {"$ref": str(reference)}:
            return {reference}
        case dict():
            return set().union(*map(references, node.values()))
        case list():
            return set().union(*map(references, node))
    return set()


@pytest.mark.parametrize("kind", ["headers", "responses", "schemas"])
def test_each_component_is_used(kind: str) -> None:
    told = description()
    used = references(told)
    assert {f"#/components/{kind}/{name}" for name in told["components"][kind]} <= used
