"""How commands end that cannot do what they were asked."""

import signal
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner, Result

from relay.caller.errors import CallError, Failure
from relay.cli.errors import Commands
from relay.config.registry import RegistryError
from relay.errors import AdminError, BindError, ConfigError
from tests.relay.cli.commands import LIMIT


def ended_by(error: BaseException) -> Result:
    """What a command comes to that ends with an exception, in a group below the root."""
    app, group = typer.Typer(cls=Commands), typer.Typer()
    app.add_typer(group, name="group")

    @app.callback()
    @group.callback()
    def root() -> None:
        pass

    @group.command()
    def fail() -> None:
        raise error

    return CliRunner().invoke(app, ["group", "fail"])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AdminError("no agent answers at /run/x.sock"), 1),
        (BindError("cannot listen on 127.0.0.1:80: choose another port"), 1),
        (ConfigError("--vip IP:PORT is missing: a public address"), 2),
        (RegistryError("registry r.toml: unknown table relays"), 2),
        (CallError(Failure.ICE_FAILED, "no check was answered"), 6),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_is_its_sentence_and_an_exit_code(error: Exception, code: int) -> None:
    result = ended_by(error)
    assert (result.stdout, result.stderr) == ("", f"icelane: {error}\n")
    assert result.exit_code == code


def test_several_problems_are_a_list() -> None:
    result = ended_by(ConfigError("--vip is missing", "--keys is missing"))
    assert result.exit_code == 2
    assert result.stderr == (
        "icelane: 2 settings are wrong:\n  --vip is missing\n  --keys is missing\n"
    )


@pytest.mark.parametrize("bug", [ValueError("bug"), OSError(5, "bug"), KeyError("bug")], ids=repr)
def test_a_bug_keeps_its_traceback(bug: Exception) -> None:
    result = ended_by(bug)
    assert result.exception is bug
    assert result.stderr == ""


WAITING = """
import time, typer
from relay.cli.errors import Commands

app = typer.Typer(cls=Commands)

@app.callback()
def root(): pass

@app.command()
def wait():
    print("waiting", flush=True)
    while True:  # a signal just before one sleep is seen after it
        time.sleep(0.1)

app()
"""


def test_ctrl_c_ends_a_command_as_a_shell_expects_it() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITING, "wait"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        try:
            _, errors = process.communicate(timeout=LIMIT)
        finally:
            process.kill()  # one that goes on would be waited for
    assert process.returncode == 130
    assert "Traceback" not in errors
