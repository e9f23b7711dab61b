"""The datagrams of parser.json, on which the parsers in C and in Python have to agree."""

import json
from pathlib import Path
from typing import NamedTuple

from relay.wire.keys import KeyRing

_FILE = json.loads(Path(__file__).with_name("parser.json").read_text(encoding="ascii"))

CLUSTER: int = _FILE["cluster"]
KEYS = KeyRing(
    {int(slot): bytes.fromhex(master) for slot, master in _FILE["keys"].items()}, signing_slot=3
)


class Case(NamedTuple):
    """A datagram from an unknown client, and the reason that decides about it."""

    name: str
    verdict: str
    payload: bytes


CASES = [
    Case(case["name"], case["verdict"], bytes.fromhex(case["payload"])) for case in _FILE["cases"]
]
