"""Sockets of a service manager, as a process finds them at its start."""

import json
import os
import socket
import subprocess
import sys

from relay.activation import Activation, passed
from relay.wire.endpoint import Endpoint

# What it is given begins at descriptor 3, so it is a process of its own that looks.
LOOK = """
import json, os
from relay.activation import Activation
activation = Activation(os.environ)
left = [str(each) for each in activation.left()]
inherited = os.get_inheritable(3)
told = [name for name in os.environ if name.startswith("LISTEN_")]
first = activation.take(next(iter(activation.left())))
print(json.dumps([left, inherited, told, first.fileno(), len(activation.left())]))
"""


def test_those_that_listen_are_found_and_told_of_no_more() -> None:
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socketpair()[0] as other:
        address = str(Endpoint.of(tcp.getsockname()))
        script = f'exec 3<&{tcp.fileno()} 4<&{other.fileno()}; LISTEN_PID=$$ exec "$@"'
        done = subprocess.run(
            ["bash", "-c", script, "-", sys.executable, "-c", LOOK],
            env=os.environ | {"LISTEN_FDS": "2", "LISTEN_FDNAMES": "http:other"},
            pass_fds=(tcp.fileno(), other.fileno()),
            check=True,
            capture_output=True,
            text=True,
        )
    assert json.loads(done.stdout) == [[address], False, [], 3, 0]


def test_those_of_another_process_are_not_ours() -> None:
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "2", "PATH": "/bin"}
    assert passed(environment, 2) == {}
    assert environment == {"PATH": "/bin"}


def test_there_are_none_without_a_service_manager() -> None:
    activation = Activation({})
    assert activation.take(Endpoint("127.0.0.1", 80)) is None
    assert not activation.left()
