#!/usr/bin/python3
"""Announces a relay's VIP by BIRD while the relay is ready for clients, and withdraws it otherwise.

It asks `/readyz` at the relay's `metrics` address, and enables or disables a protocol of BIRD by
`birdc`. A relay that says itself that it is not ready, such as one that drains, is believed at
once. One that does not answer is given some time: while its agent starts again, the kernel forwards
the calls that there are. When this is stopped, things stay as they are.

Run it beside BIRD, as a user who may use BIRD's control socket; it needs nothing but Python.
"""

import argparse
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence


def health(url: str, timeout: float) -> bool | None:
    """Whether a relay is ready; None if it does not answer."""
    try:
        with urllib.request.urlopen(url, timeout=timeout):
            return True
    except urllib.error.HTTPError as error:
        return False if error.code == 503 else None
    except OSError:
        return None


class Decision:
    """Whether to announce, by what a relay has said of itself lately; pure.

    Args:
        fall: So many questions without an answer withdraw.
        rise: So many in a row that find it ready announce.
    """

    def __init__(self, fall: int, rise: int) -> None:
        self._fall = fall
        self._rise = rise
        self._ready = self._silent = 0

    def after(self, ready: bool | None) -> bool | None:
        """Whether to announce from now on; None to leave it as it is."""
        self._ready = self._ready + 1 if ready else 0
        self._silent = self._silent + 1 if ready is None else 0
        if ready is False or self._silent >= self._fall:
            return False
        return True if self._ready >= self._rise else None


def tell(birdc: Sequence[str], protocol: str, *, announce: bool) -> bool:
    """Enable or disable BIRD's protocol; whether that worked."""
    verb = "enable" if announce else "disable"
    try:
        done = subprocess.run(
            [*birdc, verb, protocol], check=False, capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"birdc does not work: {error}", file=sys.stderr, flush=True)
        return False
    # "icelane: enabled", "icelane: already enabled"; otherwise it says what is wrong.
    if f"{verb}d" not in done.stdout:
        text = (done.stderr or done.stdout).strip()
        print(f"birdc {verb} {protocol}: {text}", file=sys.stderr, flush=True)
        return False
    return True


def main() -> None:
    """Follow one relay for ever."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--url", default="http://127.0.0.1:9100/readyz")
    parser.add_argument("--protocol", default="icelane", help="BIRD's protocol with the VIP")
    parser.add_argument("--birdc", default="birdc", help="the command, with options if need be")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two questions")
    parser.add_argument("--fall", type=int, default=5, help="questions without answer: withdraw")
    parser.add_argument("--rise", type=int, default=2, help="good answers: announce")
    options = parser.parse_args()
    decision, announced = Decision(options.fall, options.rise), None
    while True:
        announce = decision.after(health(options.url, options.every))
        if (
            announce is not None
            and announce != announced
            and tell(options.birdc.split(), options.protocol, announce=announce)
        ):
            announced = announce
            print("announced" if announce else "withdrawn", flush=True)
        time.sleep(options.every)


if __name__ == "__main__":
    main()
