"""The OpenAPI description of all routes, as data, and the route that serves it.

A test holds it against the routes that are served: each is in it, and nothing else.
"""

import json
from collections.abc import Sequence
from typing import Any

from aiohttp import hdrs, web

from signaling.callid import CALLS
from signaling.clientsecrets import CLIENT_SECRETS
from signaling.models import MODELS
from signaling.relays import RELAYS
from signaling.routes import Access, Route
from signaling.websockets import REALTIME
from signaling.whip import WHEP, WHIP

OPENAPI = "/openapi.json"

Json = dict[str, Any]

_SDP = {"application/sdp": {"schema": {"type": "string"}}}
_FRAGMENT = {"application/trickle-ice-sdpfrag": {"schema": {"type": "string"}}}
_TEXT: Json = {"type": "string"}
_HEADERS: Json = {
    "Location": "The URL of the call, as a path.",
    "ETag": "Names the ICE session.",
    "Accept-Patch": "What a PATCH of the session may be.",
    "Link": "An ICE server.",
    "Retry-After": "Seconds to wait.",
    "Icelane-Resume": "Shown by the next call, it goes on with the conversation of this one.",
}
_ERRORS = {
    "400": "The request is malformed, or its offer cannot be answered.",
    "401": "There is no key, or it is wrong.",
    "403": "The key does not allow this.",
    "404": "There is no such call.",
    "406": "An offer of the client is needed.",
    "408": "The body did not arrive in time.",
    "412": "If-Match names an ICE session that is over.",
    "413": "The body, or the offer in it, is too large.",
    "415": "The body has another media type, or is compressed.",
    "422": "ICE of this call cannot be restarted by a fragment.",
    "426": "This is a WebSocket.",
    "428": "If-Match is missing.",
    "429": "The client has too many calls that are not connected, or asks too often.",
    "500": "The server failed on this request.",
    "503": "There is no room, or the transceiver does not answer.",
    "504": "The request took too long.",
}
_ALWAYS = ("400", "401", "403", "429", "500", "504")


def _headers(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _operation(name: str, summary: str, answers: Json, *errors: str, **more: Any) -> Json:
    """An operation: its answers, and the errors besides those that every route may have."""
    told = {each: {"$ref": f"#/components/responses/{each}"} for each in (*_ALWAYS, *errors)}
    return {"operationId": name, "summary": summary, "responses": answers | told, **more}


def _json(description: str, schema: str) -> Json:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": description, "content": content}


def _options(name: str, **headers: Any) -> Json:
    answer = {"204": {"description": "What other origins may do.", **headers}}
    return _operation(f"{name}Options", "CORS", answer, security=[])


def _query(name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": schema}


_CALL_ID: Json = {
    "name": "call_id",
    "in": "path",
    "required": True,
    "description": "The last part of the call's Location.",
    "schema": _TEXT,
}


_RESUME: Json = {
    "name": "Icelane-Resume",
    "in": "header",
    "description": "What an answer had in this header, if that conversation is to go on.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"},
}
_KEPT = _query("keep", "Whether the conversation goes on in another call.", {"type": "boolean"})


def _telephone(action: str) -> Json:
    return {
        "parameters": [_CALL_ID],
        "options": _options(action),
        "post": {
            "operationId": action,
            "summary": "For calls by SIP, of which there are none.",
            "responses": {
                each: {"$ref": f"#/components/responses/{each}"} for each in (*_ALWAYS, "404")
            },
        },
    }


_CALLS: Json = {
    CALLS: {
        "options": _options("createCall"),
        "get": _operation(
            "listCalls",
            "The calls of the API key that asks.",
            {"200": _json("Its calls, the youngest first.", "Calls")},
        ),
        "post": _operation(
            "createCall",
            "Place a call.",
            {
                "201": {
                    "description": "The call's SDP answer.",
                    "headers": _headers("Location", "Icelane-Resume"),
                    "content": _SDP,
                }
            },
            *("408", "413", "415", "503"),
            parameters=[
                _query(
                    "dcid",
                    "The stream of the events channel, which the client opens as negotiated.",
                    {"type": "integer", "minimum": 0, "maximum": 65534},
                ),
                _query("model", "What is to answer.", _TEXT),
                _RESUME,
            ],
            requestBody={
                "required": True,
                "content": {
                    **_SDP,
                    "application/json": {"schema": {"$ref": "#/components/schemas/Offer"}},
                    "multipart/form-data": {"schema": {"$ref": "#/components/schemas/Offer"}},
                },
            },
        ),
    },
    CALLS + "/{call_id}": {
        "parameters": [_CALL_ID],
        "options": _options("endCall"),
        "delete": _operation(
            "endCall",
            "End a call.",
            {"200": _json("What was counted.", "Call")},
            *("404", "503"),
            parameters=[_KEPT],
        ),
    },
    CALLS + "/{call_id}/hangup": {
        "parameters": [_CALL_ID],
        "options": _options("hangUp"),
        "post": _operation(
            "hangUp",
            "End a call.",
            {"200": {"description": "It has ended."}},
            *("404", "503"),
            parameters=[_KEPT],
        ),
    },
    **{CALLS + "/{call_id}/" + each: _telephone(each) for each in ("accept", "reject", "refer")},
    CLIENT_SECRETS: {
        "options": _options("createClientSecret"),
        "post": _operation(
            "createClientSecret",
            "Make a short-lived secret, with which a browser or an app may call.",
            {"200": _json("The secret, and what it stands for.", "ClientSecret")},
            *("408", "413", "415"),
            requestBody={
                "content": {
                    "application/json": {"schema": {"$ref": "#/components/schemas/SecretRequest"}}
                }
            },
        ),
    },
    REALTIME: {
        "options": _options("connect"),
        "get": _operation(
            "connect",
            "A WebSocket: a session of its own, or the events of a call.",
            {"101": {"description": "A WebSocket; what is wrong comes as an event `error`."}},
            *("426", "503"),
            parameters=[
                _query("model", "What is to answer; a new session.", _TEXT),
                _query(
                    "intent",
                    "With transcription a new session that only writes down what is said.",
                    {"type": "string", "enum": ["realtime", "transcription"]},
                ),
                _query("call_id", "The call whose events are wanted.", _TEXT),
                _RESUME,
            ],
        ),
    },
    MODELS: {
        "options": _options("listModels"),
        "get": _operation(
            "listModels", "What may answer.", {"200": _json("The models.", "Models")}
        ),
    },
}


_RELAYS: Json = {
    RELAYS: {
        "options": _options("listRelays"),
        "get": _operation(
            "listRelays",
            "The relays that answers advertise, and what forwards there.",
            {"200": _json("The relays.", "Relays")},
        ),
    },
}


def _whip(path: str, name: str, summary: str, *errors: str) -> Json:
    """WHIP, or WHEP, which says the same of everything but what it is for."""
    asked = {"headers": _headers("Accept-Patch", "Link")}
    return {
        path: {
            "options": _options(f"{name}Endpoint", **asked),
            "post": _operation(
                f"{name}Offer",
                summary,
                {
                    "201": {
                        "description": "The SDP answer.",
                        "headers": _headers("Location", "ETag", "Accept-Patch", "Link"),
                        "content": _SDP,
                    }
                },
                *("408", "413", "415", "503", *errors),
                parameters=[_query("model", "What is to answer.", _TEXT)],
                requestBody={"required": True, "content": _SDP},
            ),
        },
        path + "/{call_id}": {
            "parameters": [_CALL_ID],
            "options": _options(f"{name}Session", **asked),
            "patch": _operation(
                f"{name}Patch",
                "Tell of candidates, or restart ICE.",
                {
                    "200": {
                        "description": "ICE restarts: the server's new credentials.",
                        "headers": _headers("ETag"),
                        "content": _FRAGMENT,
                    },
                    "204": {"description": "Candidates were told; nothing changes."},
                },
                *("404", "408", "412", "413", "415", "422", "428", "503"),
                parameters=[
                    {
                        "name": "If-Match",
                        "in": "header",
                        "description": "The ETag of the ICE session; * for a restart.",
                        "schema": _TEXT,
                    }
                ],
                requestBody={"required": True, "content": _FRAGMENT},
            ),
            "delete": _operation(
                f"{name}End", "End it.", {"200": {"description": "It has ended."}}, "404", "503"
            ),
        },
    }


_OTHERS: Json = {
    "/": {
        "get": _operation(
            "page",
            "A page to talk from.",
            {"200": {"description": "HTML.", "content": {"text/html": {"schema": _TEXT}}}},
            security=[],
        )
    },
    "/page/{name}": {
        "parameters": [
            {
                "name": "name",
                "in": "path",
                "required": True,
                "description": "One of the page's files.",
                "schema": _TEXT,
            }
        ],
        "get": _operation(
            "pageFile",
            "A file of the page.",
            {
                "200": {"description": "The file."},
                "304": {"description": "The client has it."},
            },
            "404",
            security=[],
        ),
    },
    "/healthz": {
        "get": _operation(
            "health",
            "Whether this server serves.",
            {"200": _json("It does.", "Health")},
            security=[],
        )
    },
    OPENAPI: {
        "get": _operation(
            "description",
            "This description.",
            {
                "200": {
                    "description": "OpenAPI 3.1.",
                    "content": {"application/json": {"schema": {"type": "object"}}},
                }
            },
            security=[],
        )
    },
}


def _with_head(item: Json) -> Json:
    """A path with HEAD, where anybody may GET it."""
    get = item.get("get", {})
    if get.get("security") != []:
        return item
    named = {"operationId": f"{get['operationId']}Head", "summary": "The head of the same."}
    return {**item, "head": {**get, **named}}


def _object(required: Sequence[str] = (), /, **properties: Json) -> Json:
    return {"type": "object", "required": list(required), "properties": properties}


_NULLABLE: Json = {"type": ["string", "null"]}
_NUMBER: Json = {"type": ["number", "null"]}
_SCHEMAS: Json = {
    "Error": _object(
        ["error"],
        error=_object(
            ["type", "code", "message", "param"],
            type=_TEXT,
            code=_TEXT,
            message=_TEXT,
            param=_NULLABLE,
        ),
    ),
    "Offer": _object(["sdp"], sdp=_TEXT, session={"type": "object"}),
    "Call": _object(
        ["id", "state"],
        id=_TEXT,
        state=_TEXT,
        client=_NULLABLE,
        rtp={"type": "object"},
        setup_seconds=_NUMBER,
        age_seconds=_NUMBER,
    ),
    "Calls": _object(
        ["object", "data"],
        object={"const": "list"},
        data={"type": "array", "items": {"$ref": "#/components/schemas/Call"}},
    ),
    "SecretRequest": _object(
        expires_after=_object(
            anchor={"const": "created_at"},
            seconds={"type": "integer", "minimum": 10, "maximum": 7200},
        ),
        session={"type": "object"},
    ),
    "ClientSecret": _object(
        ["value", "expires_at", "session"],
        value=_TEXT,
        expires_at={"type": "integer"},
        session={"type": "object"},
    ),
    "Model": _object(
        ["id", "object", "owned_by"], id=_TEXT, object={"const": "model"}, owned_by=_TEXT
    ),
    "Models": _object(
        ["object", "data"],
        object={"const": "list"},
        data={"type": "array", "items": {"$ref": "#/components/schemas/Model"}},
    ),
    "Relay": _object(
        ["udp", "tcp", "dataplane"],
        udp={"type": "array", "items": _TEXT},
        tcp={"type": "array", "items": _TEXT},
        dataplane={"enum": ["xdp", "userspace", None]},
    ),
    "Relays": _object(
        ["object", "data"],
        object={"const": "list"},
        data={"type": "array", "items": {"$ref": "#/components/schemas/Relay"}},
    ),
    "Health": _object(
        ["status", "transceivers", "registry"],
        status={"const": "ok"},
        transceivers={"type": "object"},
        registry={"type": "object"},
    ),
}


def _paths() -> Json:
    return {
        **_OTHERS,
        **_CALLS,
        **_RELAYS,
        **_whip(WHIP, "whip", "Publish: a call that sends (RFC 9725)."),
        **_whip(WHEP, "whep", "Play: a call that receives (draft-ietf-wish-whep).", "406"),
    }


def description() -> Json:
    """The description, as OpenAPI 3.1 has it."""
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    waits = {"headers": _headers("Retry-After")}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Icelane signaling",
            "version": "1",
            "description": "Calls by WebRTC: the OpenAI Realtime API, WHIP and WHEP.",
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}, {}],
        "paths": {path: _with_head(item) for path, item in _paths().items()},
        "components": {
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, or a client secret; none where the server is open.",
                }
            },
            "headers": {
                name: {"description": told, "schema": _TEXT} for name, told in _HEADERS.items()
            },
            "responses": {
                status: {
                    "description": told,
                    "content": error,
                    **(waits if status in ("429", "503") else {}),
                }
                for status, told in _ERRORS.items()
            },
            "schemas": _SCHEMAS,
        },
    }


class OpenApiRoutes:
    """The description, written once."""

    def __init__(self) -> None:
        self._text = json.dumps(description(), indent=1)

    def routes(self) -> Sequence[Route]:
        """The routes."""
        return [Route(hdrs.METH_GET, OPENAPI, self._show, Access.ANYBODY)]

    async def _show(self, _: web.Request) -> web.Response:
        return web.Response(
            text=self._text, content_type="application/json", headers={"Cache-Control": "no-cache"}
        )
