import os
import subprocess
import sys
from pathlib import Path

from relay import handover
from relay.run.config import RelayConfig
from relay.wire.endpoint import Endpoint

CONFIG = RelayConfig(
    vips=(Endpoint("203.0.113.10", 3478), Endpoint("2001:db8::10", 3478)),
    upstreams=("192.0.2.1",),
    keys=Path("keys.toml"),
    registry=Path("registry.toml"),
    redis="redis://:secret@127.0.0.1/0",
)


def test_several_processes_take_the_same_value() -> None:
    fd = handover.give(CONFIG)
    code = f"from relay import handover; print(handover.take({fd}))"
    try:
        said = {
            subprocess.run(
                [sys.executable, "-c", code], check=True, capture_output=True, pass_fds=[fd]
            ).stdout.decode()
            for _ in range(2)
        }
        assert handover.take(fd) == CONFIG
    finally:
        os.close(fd)
    assert said == {f"{CONFIG}\n"}
