import ast
import inspect
import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.clocks import LEEWAY
from signaling.auth import clientsecret
from signaling.auth.clientsecret import MAX_LENGTH, PREFIX, ClientSecret, Signer
from signaling.errors import SecretTooLongError, TokenError

SIGNER = Signer([b"s" * 32])
NONCE = b"n" * 12
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
SECRETS = st.builds(
    ClientSecret,
    expires=st.integers(1, 2**40),
    principal=st.none() | st.text(max_size=64),
    session=st.dictionaries(st.text(max_size=9), JSON, max_size=4),
)


def text(session: dict[str, Any] | None = None, expires: int = 1000) -> str:
    return SIGNER.sign(ClientSecret(expires, "alice", session or {"type": "realtime"}), NONCE)


@given(SECRETS)
def test_what_is_signed_is_read(secret: ClientSecret) -> None:
    signed = SIGNER.sign(secret, NONCE)
    assert signed.startswith("ek_")
    assert SIGNER.read(signed, secret.expires - 1) == secret


def test_it_ends_when_it_says_by_the_slowest_clock_of_all_servers() -> None:
    signed = text(expires=1000)
    assert SIGNER.read(signed, 999.9 + LEEWAY).principal == "alice"
    with pytest.raises(TokenError, match="it has expired"):
        SIGNER.read(signed, 1000.0 + LEEWAY)


@given(st.data())
def test_any_other_spelling_is_refused(data: st.DataObject) -> None:
    signed = text()
    at = data.draw(st.integers(0, len(signed) - 1))
    other = data.draw(st.sampled_from(string.ascii_letters + string.digits + "-_=+/ \n."))
    change = data.draw(st.sampled_from(["replace", "insert", "cut", "append"]))
    changed = {
        "replace": signed[:at] + other + signed[at + 1 :],
        "insert": signed[:at] + other + signed[at:],
        "cut": signed[:at],
        "append": signed + other,
    }[change]
    if changed == signed:
        return
    with pytest.raises(TokenError, match="it was not made here"):
        SIGNER.read(changed, 0)


@given(st.text() | st.binary().map(lambda raw: PREFIX + raw.hex()))
def test_nothing_else_is_taken(junk: str) -> None:
    with pytest.raises(TokenError):
        SIGNER.read(junk, 0)
    with pytest.raises(TokenError):
        SIGNER.read(PREFIX + junk, 0)


def test_servers_that_share_a_secret_agree_and_others_do_not() -> None:
    secret = ClientSecret(1000, None, {})
    old, new = b"o" * 32, b"n" * 32
    signed = Signer([old]).sign(secret, NONCE)
    assert Signer([new, old]).read(signed, 0) == secret  # while it rotates
    assert Signer([new, old]).sign(secret, NONCE) == Signer([new]).sign(secret, NONCE)
    with pytest.raises(TokenError):
        Signer([new]).read(signed, 0)


def test_two_are_never_the_same() -> None:
    secret = ClientSecret(1000, None, {})
    assert SIGNER.sign(secret, b"a" * 12) != SIGNER.sign(secret, b"b" * 12)


def test_a_session_that_does_not_fit_is_refused_and_a_usual_one_fits() -> None:
    words = [f"{number * 7919 % 10007:x}" for number in range(20_000)]
    with pytest.raises(SecretTooLongError, match=rf"and {MAX_LENGTH} fit"):
        text({"instructions": " ".join(words)})
    tool = {"type": "function", "name": "f", "description": "what it does, in a sentence or two"}
    session = {"instructions": " ".join(words[:900]), "tools": [tool] * 10}
    assert len(json.dumps(session)) > 5_000
    assert len(text(session)) <= MAX_LENGTH


def test_tags_are_compared_in_constant_time_and_with_all_secrets() -> None:
    tree = ast.parse(inspect.getsource(clientsecret))
    (read,) = [
        each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef) and each.name == "read"
    ]
    (every,) = [each for each in ast.walk(read) if isinstance(each, ast.ListComp)]
    assert ast.unparse(every.elt).startswith("hmac.compare_digest(")
