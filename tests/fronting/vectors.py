"""Test vectors of what a fronted server speaks, made by `relay.wire`; pure."""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any, NamedTuple

from relay.wire.announcement import Announcement
from relay.wire.endpoint import Endpoint
from relay.wire.goodbye import Goodbye
from relay.wire.keys import KeyRing
from relay.wire.route import EXPIRY_UNIT, MAX_LIFETIME, Route, Target, mint
from relay.wire.siphash import KEY_SIZE, tag
from relay.wire.transport import Transport

PATH = Path(__file__).parents[2] / "docs" / "fronting" / "vectors.json"

NOW = 1_795_381_747.5
CLUSTER = 0x0102
OURS = Target(CLUSTER, 0x030405, 6)
MASTERS = {0: bytes(range(32)), 3: bytes(range(32, 64))}
RING = KeyRing(MASTERS, signing_slot=3)
OLDER = KeyRing(MASTERS, signing_slot=0)  # before the last rotation
STRANGE = KeyRing({3: bytes(32)}, signing_slot=3)
UNKNOWN = KeyRing({5: bytes(32)}, signing_slot=5)

CLIENT, VIP = Endpoint("203.0.113.2", 50_000), Endpoint("203.0.113.10", 3478)
UPSTREAM = Endpoint("192.0.2.1", 21_692)
CLIENT6, VIP6 = Endpoint("2001:db8::1:0:0:2", 50_000), Endpoint("2001:db8:1::10", 3478)
UPSTREAM6 = Endpoint("2001:db8:2::1", 10_000)

OFFER = (
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n{first}"
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\n{second}"
)
REFUSED = "m=video 0 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\n"
OWN = "a=candidate:7 1 udp 2130706431 192.0.2.2 5000 typ host\r\na=end-of-candidates\r\n"
RELAYS = (
    "a=candidate:1 1 udp 2130706431 203.0.113.10 3478 typ host\r\n"
    "a=candidate:2 1 udp 2130706175 2001:db8:1::10 3478 typ host\r\n"
    "a=end-of-candidates\r\n"
)


def vectors() -> dict[str, Any]:
    """All of them, as JSON has them."""
    return {
        "about": "Made by `python -m tests.fronting`; do not edit. The keys are no secret.",
        "key_files": {"masters": masters(3), "cluster": exported(), "older": masters(0)},
        "routes": [route_vector(*each) for each in _ROUTES],
        "refused": [{"ufrag": ufrag, "reason": reason} for ufrag, reason in _refused()],
        "announcements": [announcement_vector(each) for each in _ANNOUNCEMENTS],
        "announcements_refused": [
            {"data": data.hex(), "reason": reason} for data, reason in _announcements_refused()
        ],
        "goodbyes": [goodbye_vector(each) for each in _ANNOUNCEMENTS],
        "answers": [
            {
                "sdp": OFFER.format(first=OWN, second="") + REFUSED,
                "vips": [str(VIP), str(VIP6)],
                "answer": OFFER.format(first=RELAYS, second=RELAYS) + REFUSED,
                "offer": OFFER.format(first="", second="") + REFUSED,
            }
        ],
    }


def text() -> str:
    """The file."""
    return json.dumps(vectors(), indent=2) + "\n"


def masters(signing: int) -> str:
    """A key file of master keys, with all that may stand in one."""
    keys = "".join(f'{slot} = "{master.hex()}"\n' for slot, master in MASTERS.items())
    return (
        "# Icelane master keys, by slot. Secret: whoever has this can forge routes.\n"
        f'signing = {signing}\nspread = "{bytes(32).hex()}"  # stays when keys rotate\n\n'
        f"[keys]\n{keys}\n[stopped]  # when a slot ceased to sign, Unix seconds\n0 = {int(NOW)}\n"
    )


def exported() -> str:
    """What was derived of the master keys for one cluster, as a key file.

    It is derived here once more, so that the derivation is held, too.
    """
    lines = ["signing = 3", f"cluster = {CLUSTER}", 'for = "transceiver"']
    for slot, master in MASTERS.items():
        lines += ["", f"[keys.{slot}]"]
        for purpose in ("route", "announcement", "registry"):
            info = f"icelane {purpose}".encode() + CLUSTER.to_bytes(2, "big") + bytes([slot, 1])
            key = hmac.new(master, info, hashlib.sha256).digest()[:KEY_SIZE]
            lines.append(f'{purpose} = "{key.hex()}"')
    return "\n".join(lines) + "\n"


class Recipe(NamedTuple):
    """What a route is made of."""

    target: Target = OURS
    keys: KeyRing = RING
    now: float = NOW
    lifetime: int = 3600
    nonce: str = "aabbccdd"

    def mint(self) -> Route:
        """The route."""
        nonce = bytes.fromhex(self.nonce)
        return mint(self.target, self.keys, now=self.now, lifetime=self.lifetime, nonce=nonce)


def route_vector(recipe: Recipe, looked_at: float) -> dict[str, Any]:
    """A route: what it is minted of, and what it says at another time."""
    route = recipe.mint()
    units = int(looked_at // EXPIRY_UNIT)
    distance = (route.expiry - units + 0x8000) % 0x10000 - 0x8000
    return {
        "key_file": "masters" if recipe.keys is RING else "older",
        **recipe.target._asdict(),
        "now": recipe.now,
        "lifetime": recipe.lifetime,
        "nonce": recipe.nonce,
        "ufrag": route.ufrag,
        "key_slot": route.key_slot,
        "looked_at": looked_at,
        "expires": (units + distance) * EXPIRY_UNIT,
        "expired": route.expired(looked_at),
    }


_WRAP = 0x1_0000 * EXPIRY_UNIT * 428.0  # here the 16 bits of an expiry begin anew
_LATE = Recipe(now=_WRAP - 30, lifetime=100, nonce="01020304")
_ROUTES = [
    (Recipe(), NOW),
    (Recipe(), NOW + 3600),
    (Recipe(), NOW + 3600 + 2 * EXPIRY_UNIT),
    (Recipe(keys=OLDER, lifetime=4 * 3600, nonce="00000000"), NOW + 4 * 3600),
    (Recipe(Target(CLUSTER, 0, 0), lifetime=1, nonce="ffffffff"), NOW - 86_400),
    (Recipe(Target(CLUSTER, 0xFFFFFF, 0xFF), lifetime=int(MAX_LIFETIME)), NOW),
    (_LATE, _LATE.now),
    (_LATE, _WRAP + 300),
]


def _refused() -> list[tuple[str, str]]:
    good = Recipe().mint()
    strange = Recipe(keys=STRANGE).mint()
    later = bytes([good.raw[0] | 1 << 6]) + good.raw[1:]
    nowhere = bytes([good.raw[0] | 7 << 3]) + good.raw[1:]
    damaged = good.raw[:12] + bytes([good.raw[12] ^ 1]) + good.raw[13:]
    return [
        ("", "format"),
        (good.ufrag[:-4], "format"),
        (good.ufrag + "AAAA", "format"),
        (good.ufrag[:-1] + "=", "format"),
        (good.ufrag[:-1] + "-", "format"),
        (good.ufrag[:-1] + "\n", "format"),
        (Route(later).ufrag, "format"),
        (Route(nowhere).ufrag, "key"),
        (Recipe(keys=UNKNOWN).mint().ufrag, "key"),
        (strange.ufrag, "tag"),
        (Route(damaged).ufrag, "tag"),
    ]


_ANNOUNCEMENTS = [
    Announcement(CLIENT, VIP, UPSTREAM, Recipe().mint().raw, NOW),
    Announcement(CLIENT, VIP, UPSTREAM, Recipe(keys=OLDER).mint().raw, NOW, Transport.TCP, 7),
    Announcement(CLIENT6, VIP6, UPSTREAM6, Recipe().mint().raw, NOW, epoch=0xFFFFFFFF),
]


def announcement_vector(said: Announcement) -> dict[str, Any]:
    """An announcement, as bytes and in words."""
    return {
        "data": said.serialize(RING).hex(),
        "client": str(said.client),
        "vip": str(said.vip),
        "upstream": str(said.upstream),
        "ufrag": Route(said.route).ufrag,
        "time": said.time,
        "transport": str(said.transport),
        "epoch": said.epoch,
    }


def _announcements_refused() -> list[tuple[bytes, str]]:
    good = _ANNOUNCEMENTS[0].serialize(RING)
    strange = Announcement(CLIENT, VIP, UPSTREAM, Recipe(keys=STRANGE).mint().raw, NOW)
    # What the holder of the route's key alone could say of another upstream address.
    other_tag = good[:-8] + tag(bytes(KEY_SIZE), good[:-8])
    return [
        (b"", "format"),
        (good[:-1], "format"),
        (good + b"\0", "format"),
        (b"\x0d" + good[1:], "format"),
        (good[:1] + b"\x00" + good[2:], "format"),
        (good[:1] + b"\x12" + good[2:], "format"),
        (good[:2] + b"\xff" * 8 + good[10:], "format"),
        (good[:20] + bytes([good[20] ^ 1]) + good[21:], "tag"),
        (strange.serialize(STRANGE), "tag"),
        (other_tag, "tag"),
    ]


def goodbye_vector(said: Announcement) -> dict[str, Any]:
    """What ends the flow of an announcement."""
    data = Goodbye(said.route, said.client, said.upstream).serialize(RING)
    return {"announcement": said.serialize(RING).hex(), "data": data.hex()}
