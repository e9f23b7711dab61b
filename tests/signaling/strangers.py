"""Requests that a stranger may make: all routes of the description, with whatever he may send."""

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from signaling.openapi import description
from tests.transceiver.sdp.samples import REAL

METHODS = ["get", "head", "post", "put", "patch", "delete", "options"]
PATHS = description()["paths"]
ALL = [(method, path) for path in PATHS for method in METHODS]
DESCRIBED = [(method, path) for method, path in ALL if method in PATHS[path]]
WITH_BODY = [(method, path) for method, path in DESCRIBED if "requestBody" in PATHS[path][method]]
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
OFFERS = sorted(REAL.values())
FRAGMENT = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n"

words = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
call_ids = st.sampled_from(["rtc_1-5-9-abc", "rtc_0-0-0-x", "rtc_1-5-9-../../health"]) | st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30
)
#: What aiohttp's reader of media types raises on; the first one is of a form all the same.
NO_BOUNDARY = "multipart/form-data; boundary*=idna''x"
TRAPS = [
    "application/sdp;charset*0*",
    "multipart/form-data; boundary*0*",
    "x/y; a*\N{SUPERSCRIPT TWO}*=x",
    "a/b;" + "(" * 7000,
]
types = st.sampled_from(
    [
        *("application/sdp", "application/json", "application/trickle-ice-sdpfrag"),
        *("multipart/form-data; boundary=x", "multipart/form-data", "text/plain; charset=utf-99"),
        *(NO_BOUNDARY, *TRAPS),
    ]
)
queries = st.dictionaries(st.sampled_from(["model", "call_id", "dcid", "x"]), words, max_size=3)
bodies = (
    st.binary(max_size=300)
    | st.sampled_from(
        [
            *(FRAGMENT, '{"sdp": "v=0", "session": 5}', "--x\r\n\r\n\r\n--x--"),
            "--x\r\nContent-Disposition: form-data; name*0*\r\n\r\nv=0\r\n--x--",
        ]
    ).map(str.encode)
    | st.builds(
        lambda offer, cut, more: offer.encode()[:cut] + more,
        st.sampled_from(OFFERS),
        st.integers(0, 6000),
        st.binary(max_size=20),
    )
)
headers = st.fixed_dictionaries(
    {"If-Match": st.sampled_from(["*", '"*"', '"abc"', 'W/"x"', '"']) | words},
    optional={"Content-Type": types | words, "Accept": words, "Origin": words},
)
#: None of which is a key.
credentials = st.sampled_from(
    [
        {"Authorization": "Bearer sk-icelane-0"},
        {"Authorization": "Bearer ek_AAAA"},
        {"Authorization": "Basic eDp4"},
        {"api-key": "sk-icelane-0"},
        {"Sec-WebSocket-Protocol": "realtime, openai-insecure-api-key.sk-icelane-0"},
    ]
) | st.fixed_dictionaries({}, optional={"Authorization": words, "api-key": words})


@dataclass(frozen=True, slots=True)
class Asked:
    """A request.

    Attributes:
        method: Its method.
        path: Its path as the description has it.
        made: The path itself.
        query: Its query.
        headers: Its headers, without a key.
        body: Its body.
    """

    method: str
    path: str
    made: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def known(self) -> set[int]:
        """The statuses that the description has for it; a path with a slash is another one."""
        responses = PATHS[self.path].get(self.method, {}).get("responses", {})
        return {int(each) for each in responses} | {404, 405}

    @property
    def is_open(self) -> bool:
        """Whether the description says that it needs no key."""
        return bool(PATHS[self.path].get(self.method, {}).get("security") == [])


@st.composite
def requests(draw: st.DrawFn) -> Asked:
    """Any of them, those with a body more often."""
    choice = st.sampled_from(WITH_BODY) | st.sampled_from(DESCRIBED) | st.sampled_from(ALL)
    method, path = draw(choice)
    made = path.replace("{call_id}", draw(call_ids).strip("/.") or "x")
    sent = draw(headers) | draw(st.sampled_from([{}, {}, UPGRADE]))
    if own := list(PATHS[path].get(method, {}).get("requestBody", {}).get("content", {})):
        sent["Content-Type"] = draw(st.sampled_from(own) | types)
    return Asked(method, path, made, draw(queries), sent, draw(bodies))


def assert_is_an_error(body: Any) -> None:
    error = body["error"]
    assert error.keys() == {"type", "code", "message", "param"}
    assert error["message"]
    assert error["code"]
