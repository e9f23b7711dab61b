"""Signatures of webhooks, as the official package verifies them."""

import base64
import time

import pytest
from openai import InvalidWebhookSignatureError, OpenAI

from relay.errors import ConfigError
from transceiver.webhooksigning import read_secrets, signed

OLD = "whsec_" + base64.b64encode(bytes(range(32))).decode()
NEW = "whsec_" + base64.b64encode(bytes(range(32, 64))).decode()
BODY = '{"type":"icelane.call.ended","data":{"client":"é"}}'.encode()


def verify(secret: str, headers: dict[str, str], body: bytes = BODY) -> None:
    OpenAI(api_key="any", webhook_secret=secret).webhooks.verify_signature(body, headers)


def test_the_official_package_takes_them() -> None:
    headers = dict(signed(read_secrets(OLD, "it"), "evt_1", time.time(), BODY))
    verify(OLD, headers)
    for secret, body in ((NEW, BODY), (OLD, BODY + b" ")):
        with pytest.raises(InvalidWebhookSignatureError):
            verify(secret, headers, body)
    with pytest.raises(InvalidWebhookSignatureError):
        verify(OLD, headers | {"webhook-id": "evt_2"})


def test_while_secrets_change_both_are_good() -> None:
    headers = dict(signed(read_secrets(f"{NEW}\n{OLD}\n", "it"), "evt_1", time.time(), BODY))
    verify(OLD, headers)
    verify(NEW, headers)


def test_the_example_of_the_specification() -> None:
    """Standard Webhooks names this secret, id, time, body and signature."""
    secrets = read_secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "it")
    at, body = 1614265330, b'{"test": 2432232314}'
    headers = signed(secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, body)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "secret",
        "whsec_",
        "whsec_é",
        "whsec_AAAA",
        f"{OLD} whsec_!",
        "whsec_" + 99 * "AAAA",
    ],
)
def test_what_is_no_secret_is_refused_in_words(text: str) -> None:
    with pytest.raises(ConfigError, match="it needs lines of whsec_ and base64") as raised:
        read_secrets(text, "it")
    assert OLD not in str(raised.value)
