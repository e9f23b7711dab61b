import socket
import sys
from pathlib import Path

import pytest

from relay.cli.door import (
    qr_code,
    require_closed,
    require_free,
    show_to_phones,
    signaling_server,
    visible_url,
)
from relay.config.conflict import ConflictError
from relay.config.directory import Directory
from relay.config.registry import Registry
from relay.errors import BindError
from relay.wire.endpoint import Endpoint
from signaling.selfsigned import own_addresses
from signaling.settings import SignalingSettings

LOCAL = Endpoint("127.0.0.1", 8080)
EVERYWHERE = Endpoint("0.0.0.0", 8080)


def settings(**values: object) -> SignalingSettings:
    return SignalingSettings.model_validate(
        {"listen": "127.0.0.1:8080", "registry": "r.toml", **values}
    )


@pytest.mark.parametrize("listen", ["127.0.0.1:80", "127.9.9.9:80", "[::1]:80"])
def test_an_open_instance_is_for_this_host(listen: str) -> None:
    require_closed(Endpoint.parse(listen), settings())


@pytest.mark.parametrize("listen", ["0.0.0.0:80", "[::]:80", "192.0.2.1:80"])
def test_for_others_it_needs_keys_or_the_word(listen: str) -> None:
    address = Endpoint.parse(listen)
    with pytest.raises(ConflictError) as raised:
        require_closed(address, settings())
    assert str(raised.value) == (
        f"everybody who reaches {address} could call, for there are no API keys: make some with "
        "`icelane keys api new` and name their file with --keys-file, or say with --open that "
        "everybody may, or listen on 127.0.0.1"
    )
    require_closed(address, settings(open=True))
    require_closed(address, settings(keys_file="keys.toml"))


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_of_another_program_is_told_with_the_option_that_helps(
    kind: socket.SocketKind,
) -> None:
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            other.listen()
        taken = Endpoint.of(other.getsockname())
        with pytest.raises(BindError) as raised:
            require_free(taken, kind, "the page", "--listen")
    assert str(raised.value) == (
        f"cannot listen on {taken} for the page: Address already in use; another program has this "
        "port: stop it or choose another port with --listen"
    )
    require_free(taken, kind, "the page", "--listen")
    with pytest.raises(BindError, match="this host has no such address"):
        require_free(Endpoint("192.0.2.77", 1), kind, "the page", "--listen")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"tls_cert": "a"}, "name both, --tls-cert and --tls-key"),
        ({"tls_key": "a"}, "name both, --tls-cert and --tls-key"),
        ({"tls_self_signed": True, "tls_cert": "a", "tls_key": "a"}, "leave --tls-self-signed"),
    ],
)
def test_certificates_that_do_not_go_together(values: dict[str, object], reason: str) -> None:
    with pytest.raises(ConflictError, match=reason):
        signaling_server(LOCAL, Directory(Registry(())), settings(**values))


def test_a_certificate_of_ones_own_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    contents = set()
    for _ in range(2):
        server = signaling_server(LOCAL, Directory(Registry(())), settings(tls_self_signed=True))
        assert server.url.startswith("https://")
        contents.add((tmp_path / "icelane" / "self-signed.pem").read_bytes())
    assert len(contents) == 1


def test_the_url_is_one_that_a_browser_can_open() -> None:
    plain, tls = settings(), settings(tls_self_signed=True)
    assert visible_url(LOCAL, plain) == "http://localhost:8080"
    assert visible_url(EVERYWHERE, plain) == "http://localhost:8080"
    assert visible_url(LOCAL, tls) == "https://localhost:8080"
    assert visible_url(Endpoint("192.0.2.1", 8443), tls) == "https://192.0.2.1:8443"
    own = own_addresses()
    host = str(Endpoint(own[0], 8080)) if own else "localhost:8080"
    assert visible_url(EVERYWHERE, tls) == f"https://{host}"


def test_a_qr_code_is_what_its_library_makes() -> None:
    import segno

    url = "https://192.0.2.1:8443"
    rows = [list(row) for row in segno.make(url, micro=False).matrix_iter(border=2)]
    lines = qr_code(url).splitlines()
    drawn = []
    for line in lines:
        drawn.append([int(each not in "\u2588\u2580") for each in line])
        drawn.append([int(each not in "\u2588\u2584") for each in line])
    assert drawn[: len(rows)] == rows
    assert {len(line) for line in lines} == {len(rows[0])}


def test_it_is_shown_to_people_only_and_where_a_phone_can_reach_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    show_to_phones(EVERYWHERE, settings(tls_self_signed=True))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    show_to_phones(EVERYWHERE, settings())
    assert (capsys.readouterr().out, caplog.messages) == ("", [])
    show_to_phones(LOCAL, settings(tls_self_signed=True))
    assert capsys.readouterr().out == ""
    assert caplog.messages == [
        "only this host reaches 127.0.0.1:8080: for a phone, add --listen 0.0.0.0:8080"
    ]
    show_to_phones(EVERYWHERE, settings(tls_self_signed=True))
    assert "\u2588" in capsys.readouterr().out
