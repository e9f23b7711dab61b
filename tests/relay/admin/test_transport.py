import asyncio
import itertools
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from relay.admin.transport import MAX_LINE, ask, first_piece, serve
from relay.errors import AdminError

STATUS = {"pid": 4711, "flows": [{"client": "203.0.113.2:40000"}]}


async def tell_status(_: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
    yield STATUS


async def echo(request: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
    yield {"word": request["word"]}


async def count(request: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
    yield {"to": request["to"], "numbers": []}
    for number in range(request["to"]):
        yield {"numbers": [number]}
    if request.get("refused"):
        raise AdminError("that is far enough")


async def refuse(request: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
    if request:
        raise AdminError(f"cannot switch to {request['dataplane']}")
    yield request


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[Path]:
    """An admin socket at which somebody answers."""
    path = tmp_path / "icelane" / "default.sock"
    server = await serve(
        path, {"status": tell_status, "switch": refuse, "echo": echo, "count": count}
    )
    yield path
    server.close()
    await server.wait_closed()


async def asked(path: Path, command: str) -> dict[str, Any]:
    return await asyncio.to_thread(ask, path, command)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def exchange(path: Path, sent: bytes) -> list[bytes]:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(sent)
    writer.write_eof()
    answers = await asyncio.wait_for(reader.read(), timeout=5)
    writer.close()
    return answers.splitlines()


async def test_ask_gets_what_the_handler_returns(path: Path) -> None:
    assert await asked(path, "status") == STATUS
    assert await asyncio.to_thread(ask, path, "echo", word="flow") == {"word": "flow"}


async def test_an_unknown_command_is_answered_with_the_known_ones(path: Path) -> None:
    with pytest.raises(AdminError, match="unknown command; known are count, echo, status, switch"):
        await asked(path, "shutdown")


@pytest.mark.parametrize("to", [0, 1, 1000])
async def test_an_answer_in_pieces_is_put_together(path: Path, to: int) -> None:
    answer = await asyncio.to_thread(ask, path, "count", to=to)
    assert answer == {"to": to, "numbers": list(range(to))}


async def test_all_pieces_but_the_last_say_that_there_are_more(path: Path) -> None:
    first, last = await exchange(path, b'{"command": "count", "to": 1}\n')
    assert json.loads(first) == {"to": 1, "numbers": [], "more": True}
    assert json.loads(last) == {"numbers": [0]}


async def test_an_error_after_some_pieces_is_told(path: Path) -> None:
    with pytest.raises(AdminError, match="that is far enough"):
        await asyncio.to_thread(ask, path, "count", to=3, refused=True)


async def test_one_connection_may_ask_more_than_once(path: Path) -> None:
    answers = await exchange(path, b'{"command": "status"}\n{"command": "echo", "word": 1}\n')
    assert [json.loads(answer) for answer in answers] == [STATUS, {"word": 1}]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"5",
        b"[]",
        b"{}",
        b'{"command": []}',
        b'{"command": null}',
        b"\xff",
        b"[" * 60_000,
    ],
    ids=lambda line: ascii(line[:20]),
)
async def test_a_malformed_line_gets_an_error_and_the_next_an_answer(
    path: Path, line: bytes
) -> None:
    answers = await exchange(path, line + b'\n{"command": "status"}\n')
    assert "unknown command" in json.loads(answers[0])["error"]
    assert json.loads(answers[1]) == STATUS


async def test_a_line_without_end_is_hung_up_on_and_others_are_served(path: Path) -> None:
    assert await exchange(path, b"x" * (MAX_LINE + 1) + b"\n") == []
    assert await asked(path, "status") == STATUS


async def test_nobody_else_may_connect(path: Path) -> None:
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700


async def test_a_second_agent_of_the_same_instance_is_refused(path: Path) -> None:
    with pytest.raises(AdminError, match="another agent runs as this instance"):
        await serve(path, {})
    assert await asked(path, "status") == STATUS


async def test_refusal_is_told_in_the_agents_words(path: Path) -> None:
    with pytest.raises(AdminError, match="cannot switch to xdp"):
        await asyncio.to_thread(ask, path, "switch", dataplane="xdp")
    assert await asked(path, "status") == STATUS


async def test_what_a_killed_agent_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "default.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    server = await serve(path, {"status": tell_status})
    assert await asked(path, "status") == STATUS
    server.close()
    await server.wait_closed()


async def test_an_agent_that_is_cancelled_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "default.sock"
    starting = asyncio.create_task(serve(path, {"status": tell_status}))
    await asyncio.sleep(0)
    assert path.exists()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not path.exists()


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious.txt"
    path.write_text("precious")
    with pytest.raises(AdminError, match=r"precious\.txt is a file of another kind; choose"):
        await serve(path, {})
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("file/default.sock", "cannot listen on .*default.sock: "),
        ("folder", "another kind"),
        ("x" * 120, "cannot listen on .*: AF_UNIX path too long"),
    ],
    ids=["under a file", "a folder", "too long"],
)
async def test_a_path_that_cannot_be_used_is_refused_in_words(
    tmp_path: Path, name: str, says: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(AdminError, match=says):
        await serve(tmp_path / name, {})


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a folder away")
async def test_a_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "icelane-1000"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    with pytest.raises(AdminError, match="belongs to somebody else; choose another with --admin"):
        await serve(folder / "default.sock", {})
    monkeypatch.setattr(os, "geteuid", lambda: 12345)  # its owner may
    server = await serve(folder / "default.sock", {})
    server.close()
    await server.wait_closed()


class TestAsk:
    @pytest.mark.parametrize("name", ["missing.sock", "missing/x.sock", "file", "x" * 120])
    def test_where_nobody_listens(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(AdminError, match=f"no agent answers at .*{name}: "):
            ask(tmp_path / name, "status")

    @pytest.mark.parametrize(
        "answer", [b"", b"\n", b"{", b"5\n", b"\xff\n", b'{"more": true}\n'], ids=ascii
    )
    async def test_where_somebody_else_answers(self, tmp_path: Path, answer: bytes) -> None:
        async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(answer)
            writer.close()

        path = tmp_path / "other.sock"
        server = await asyncio.start_unix_server(babble, path)
        with pytest.raises(AdminError, match="no agent answers at"):
            await asked(path, "status")
        server.close()


async def test_the_first_piece_can_be_had_alone(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    async with await serve(path, {"count": count_for_ever}):
        piece = await asyncio.to_thread(first_piece, path, "count")
    assert piece == {"number": 0}
    with pytest.raises(AdminError):
        await asyncio.to_thread(first_piece, tmp_path / "nobody.sock", "count")


async def count_for_ever(_: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
    for number in itertools.count():
        yield {"number": number}
