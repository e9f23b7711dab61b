import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from signaling.auth.credentials import KEY_PROTOCOL, credential, websocket_credential

KEYS = st.from_regex(r"[A-Za-z0-9_-]{1,80}", fullmatch=True)


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({"Authorization": "Bearer k"}, "k"),
        ({"authorization": "bearer  k "}, "k"),
        ({"api-key": "k"}, "k"),
        ({"Api-Key": " k "}, "k"),
        ({"Authorization": "Bearer a", "api-key": "b"}, "a"),
        ({"Authorization": "Basic a", "api-key": "b"}, "b"),
        ({"Authorization": "Bearer", "api-key": ""}, None),
        ({"Authorization": "Bearer  "}, None),
        ({"Authorization": "k"}, None),
        ({}, None),
    ],
)
def test_where_a_request_has_its_key(headers: dict[str, str], key: str | None) -> None:
    assert credential(CIMultiDict(headers)) == key
    assert websocket_credential(CIMultiDict(headers), [], {}) == key


@pytest.mark.parametrize(
    "protocols",
    [
        [f"realtime, {KEY_PROTOCOL}k"],
        [f"realtime,{KEY_PROTOCOL}k,openai-beta.realtime-v1"],
        ["realtime", f"{KEY_PROTOCOL}k"],
        [KEY_PROTOCOL, f"{KEY_PROTOCOL}k"],
    ],
)
def test_a_browsers_websocket_has_its_key_among_the_subprotocols(protocols: list[str]) -> None:
    assert websocket_credential({}, protocols, {"api_key": "other"}) == "k"
    assert websocket_credential({"Authorization": "Bearer h"}, protocols, {}) == "h"


def test_or_in_the_query_as_azure_has_it() -> None:
    assert websocket_credential({}, ["realtime"], {"api_key": "k"}) == "k"
    assert websocket_credential({}, [], {"api_key": ""}) is None


@given(st.text(), st.lists(st.text(), max_size=3))
def test_junk_is_no_key_or_a_text(header: str, protocols: list[str]) -> None:
    for name in ("Authorization", "api-key"):
        found = websocket_credential(CIMultiDict({name: header}), protocols, {})
        assert found is None or found


@given(KEYS)
def test_each_way_gives_the_key_as_it_is(key: str) -> None:
    assert credential({"Authorization": f"Bearer {key}"}) == key
    assert websocket_credential({}, [f"realtime, {KEY_PROTOCOL}{key}"], {}) == key
