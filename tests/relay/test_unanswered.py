"""What an operator is told of somebody who does not answer over HTTP."""

import aiohttp
import pytest

from relay.unanswered import in_words
from tests.ports import free_port


async def raised(url: str) -> Exception:
    timeout = aiohttp.ClientTimeout(total=2.0)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        with pytest.raises((aiohttp.ClientError, OSError)) as refused:
            await http.get(url)
    return refused.value


async def test_nobody_listens() -> None:
    words = in_words(await raised(f"http://127.0.0.1:{free_port()}/"))
    assert words == "nobody listens there: start it, or correct its address"


async def test_a_name_that_there_is_not() -> None:
    assert "its name is not found" in in_words(await raised("http://host.invalid/"))


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:9000/v1/drain", "voice.example/v1/x", "http://", "http://h:99999/", "ftp://h"],
)
async def test_what_is_no_url_was_not_asked_at_all(url: str) -> None:
    words = in_words(await raised(url))
    assert words == "that is no URL: write http://HOST:PORT, or https://HOST where it speaks TLS"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (TimeoutError(), "it does not answer"),
        (OSError(113, "x"), "it cannot be reached: No route to host"),
        (KeyError("sessions"), "what answers there is something else"),
        (RuntimeError("so"), "so"),
    ],
)
def test_the_rest(error: Exception, says: str) -> None:
    assert in_words(error).startswith(says)
