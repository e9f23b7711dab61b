import pytest

from signaling.whipconfig import IceServer


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("stun:stun.example.net", '<stun:stun.example.net>; rel="ice-server"'),
        (
            "turn:turn.example.net?transport=udp user pass",
            (
                '<turn:turn.example.net?transport=udp>; rel="ice-server"; username="user"; '
                'credential="pass"; credential-type="password"'
            ),
        ),
        ("turns:[2001:db8::1]:443?transport=tcp", None),
    ],
)
def test_an_ice_server_is_told_in_a_link(text: str, link: str | None) -> None:
    server = IceServer.parse(text)
    assert link is None or server.link == link


@pytest.mark.parametrize(
    "text",
    [
        *("", "https://example.net", "stun:", "turn:host user", "turn:host a b c"),
        *('turn:host us"er pass', "stun:a>b", "stun:host\r\nSet-Cookie:x", "turn:host u \u00e9"),
    ],
)
def test_what_is_no_ice_server_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"ICE server|user name"):
        IceServer.parse(text)
