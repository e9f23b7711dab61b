"""BIRD accepts what is documented."""

import subprocess
from pathlib import Path

from tests.lab.fleet.network import RELAYS
from tests.lab.fleet.routing import relay_config, router_config


def test_bird_accepts_the_documented_configurations(tmp_path: Path) -> None:
    for config in (
        router_config(tmp_path, RELAYS, 5),
        *(relay_config(tmp_path, each, 5) for each in RELAYS),
    ):
        done = subprocess.run(
            ["bird", "-p", "-c", str(config)], check=False, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
