"""What Icelane needs to be measured as a whole."""

import importlib.util
import os
from collections.abc import Collection


def lacks(dataplanes: Collection[str]) -> str | None:
    """Why these dataplanes cannot run in a lab on this machine, with what to do about it."""
    if os.geteuid() != 0:
        return "it needs network namespaces: run the command with sudo"
    if "xdp" in dataplanes and importlib.util.find_spec("bcc") is None:
        return "it needs BCC: apt-get install python3-bpfcc linux-headers-amd64"
    return None
