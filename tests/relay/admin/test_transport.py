import asyncio
import contextlib
import fcntl
import itertools
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from relay.admin.place import default_path
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
    path = tmp_path / "default.sock"
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


def files_in(directory: Path) -> list[str]:
    return [each.name for each in directory.iterdir()]


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


async def test_others_pass_through_the_directory_of_root_and_see_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.admin.place.DIRECTORY", tmp_path / "run")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    path = default_path("one")
    server = await serve(path, {"status": tell_status})
    assert mode(path) == 0o600
    assert mode(path.parent) == (0o700 if os.geteuid() else 0o711)
    server.close()
    await server.wait_closed()


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


async def test_a_folder_that_somebody_names_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(AdminError, match=r"there is no directory .*new; choose another with --adm"):
        await serve(tmp_path / "new" / "a.sock", {})
    assert not (tmp_path / "new").exists()


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


RACER = """
import asyncio, sys
from pathlib import Path
from relay.admin.transport import serve
from relay.errors import AdminError

async def race():
    print("here", flush=True)
    sys.stdin.readline()
    try:
        server = await serve(Path(sys.argv[1]), {})
    except AdminError as error:
        print(error, flush=True)
    else:
        print("mine", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        server.close()

asyncio.run(race())
"""


def test_of_several_that_start_at_once_one_has_the_socket(tmp_path: Path) -> None:
    path = tmp_path / "default.sock"
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as left:  # which each of them would replace
            left.bind(str(path))
        racers = [
            subprocess.Popen(
                [sys.executable, "-c", RACER, str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(4)
        ]
        said = []
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline() == "here\n"
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        for racer in racers:
            assert racer.stdout is not None
            said.append(racer.stdout.readline())
        for racer in racers:
            racer.communicate("end\n", timeout=20)
        assert said.count("mine\n") == 1, said
        assert sum("another agent runs as this instance" in each for each in said) == 3
        assert not path.exists()


async def test_closing_leaves_a_successors_socket_alone(tmp_path: Path) -> None:
    path = tmp_path / "default.sock"
    first = await serve(path, {"status": tell_status})
    path.unlink()  # such as by who tidies up
    async with await serve(path, {"status": tell_status}):
        first.close()
        assert await asked(path, "status") == STATUS
    assert not path.exists()


async def test_an_agent_that_hangs_is_not_taken_for_a_dead_one(tmp_path: Path) -> None:
    path = tmp_path / "default.sock"
    with socket.socket(socket.AF_UNIX) as hung, contextlib.ExitStack() as waiting:
        hung.bind(str(path))
        hung.listen(0)
        first = waiting.enter_context(socket.socket(socket.AF_UNIX))
        first.connect(str(path))
        with pytest.raises(AdminError, match="another agent runs as this instance"):
            await serve(path, {})


async def test_a_lock_that_somebody_keeps_ends_the_start_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.admin.transport.LOCK_TIMEOUT", 0.05)
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        with pytest.raises(AdminError, match="another process holds a lock on"):
            await serve(tmp_path / "default.sock", {})
    finally:
        os.close(directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
async def test_nobody_else_is_answered_whatever_the_mode_of_the_socket_is() -> None:
    """By the credentials that the kernel knows of the other end."""
    script = (
        "import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX);"
        "s.settimeout(5); s.connect(sys.argv[1]);"
        's.sendall(b\'{"command": "status"}\\n\'); print(s.makefile().read())'
    )
    with tempfile.TemporaryDirectory() as directory:
        path = open_to_all(Path(directory))
        async with await serve(path, {"status": tell_status}):
            path.chmod(0o666)  # as an administrator may have done
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", script, path, stdout=subprocess.PIPE
            )
            told, _ = await process.communicate()
            assert b"only the user of the agent, and root, may ask it" in told
            assert b"4711" not in told
            assert await asked(path, "status") == STATUS


def open_to_all(directory: Path) -> Path:
    directory.chmod(0o755)
    return directory / "admin.sock"


async def test_a_conversation_has_its_connection_for_itself(tmp_path: Path) -> None:
    """Whatever is said on it, and whatever it comes in, is the conversation's."""
    path = tmp_path / "default.sock"
    requests: list[Mapping[str, Any]] = []

    async def talk(request: Mapping[str, Any], connection: socket.socket) -> None:
        requests.append(request)
        with connection:
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(connection, b"go on\n")
            data = await loop.sock_recv(connection, 100)
            await loop.sock_sendall(connection, data.upper())

    async with await serve(path, {"status": tell_status}, {"talk": talk}):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"command": "talk", "about": 1}\n')
        assert await asyncio.wait_for(reader.readline(), 5) == b"go on\n"
        writer.write(b"no command\n")
        assert await asyncio.wait_for(reader.read(), 5) == b"NO COMMAND\n"
        writer.close()
        assert await asked(path, "status") == STATUS
    assert requests == [{"command": "talk", "about": 1}]


async def test_one_beside_another_takes_its_place_when_it_is_told_to(tmp_path: Path) -> None:
    path = tmp_path / "default.sock"
    first = await serve(path, {"status": tell_status})
    second = await serve(path, {"status": echo_nothing}, beside=True)
    assert await asked(path, "status") == STATUS
    second.take_place()
    assert await asked(path, "status") == {}
    first.close()  # which leaves the other one's socket alone
    assert await asked(path, "status") == {}
    second.take_place()
    second.close()
    assert files_in(tmp_path) == []


async def test_one_beside_another_that_gives_up_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "default.sock"
    async with await serve(path, {"status": tell_status}):
        (await serve(path, {"status": echo_nothing}, beside=True)).close()
        assert files_in(tmp_path) == [path.name]
        assert await asked(path, "status") == STATUS


async def echo_nothing(_: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
    yield {}
