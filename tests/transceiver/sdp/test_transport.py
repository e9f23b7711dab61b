"""ICE, DTLS and BUNDLE of an offer."""

import pytest

from tests.transceiver.sdp.samples import (
    AUDIO,
    DATA,
    DIGEST,
    DTLS,
    GROUP,
    ICE,
    OFFER,
    SESSION,
    TRANSPORT,
    VIDEO,
    plan,
    without,
)
from transceiver.errors import OfferError
from transceiver.plan import DtlsRole, Fingerprint, TransportPlan
from transceiver.sdp.syntax import read_description
from transceiver.sdp.transport import Bundles, read_transport

SIZES = {"sha-1": 20, "sha-224": 28, "sha-256": 32, "sha-384": 48, "sha-512": 64}


def transport(text: str, preferred: DtlsRole = DtlsRole.SERVER) -> TransportPlan:
    return read_transport(read_description(text).sections[0], preferred)


def fingerprint(algorithm: str, size: int, byte: str = "ab") -> str:
    return f"a=fingerprint:{algorithm} {':'.join([byte] * size)}\r\n"


def test_attributes_of_the_section() -> None:
    assert transport(OFFER) == TransportPlan(
        "abcd",
        "abcdefghijklmnopqrstuv",
        (Fingerprint("sha-256", DIGEST),),
        DtlsRole.SERVER,
    )


def test_attributes_of_the_session() -> None:
    assert transport(SESSION + TRANSPORT + without(AUDIO, *TRANSPORT.split("\r\n")[:-1])) == (
        transport(OFFER)
    )


def test_attributes_of_the_section_come_before_those_of_the_session() -> None:
    other = TRANSPORT.replace("abcd", "wxyz").replace("AB", "CD").replace("actpass", "passive")
    assert transport(SESSION + other + AUDIO) == transport(OFFER)


@pytest.mark.parametrize("algorithm", SIZES)
def test_all_hashes_and_spellings(algorithm: str) -> None:
    line = fingerprint(algorithm.upper(), SIZES[algorithm])
    (found,) = transport(SESSION + without(AUDIO, "a=fingerprint") + line).fingerprints
    assert found == Fingerprint(algorithm, ":".join(["AB"] * SIZES[algorithm]))


def test_several_fingerprints_in_order_and_each_once() -> None:
    lines = fingerprint("sha-1", 20) + fingerprint("sha-256", 32, "AB") + fingerprint("SHA-1", 20)
    found = transport(SESSION + AUDIO + lines).fingerprints
    assert [each.algorithm for each in found] == ["sha-256", "sha-1"]


@pytest.mark.parametrize(
    "line",
    [
        fingerprint("md5", 16),
        fingerprint("sha3-256", 32),
        fingerprint("sha-256", 31),
        fingerprint("sha-256", 33),
        fingerprint("sha-256", 32, "xy"),
        fingerprint("sha-256", 32, "\u0661\u0661"),
        "a=fingerprint:sha-256\r\n",
        "a=fingerprint:\r\n",
        "a=fingerprint\r\n",
        "a=fingerprint:" + "A" * 5000 + "\r\n",
    ],
)
def test_an_unusable_fingerprint_matters_only_when_it_is_the_only_one(line: str) -> None:
    assert transport(SESSION + AUDIO + line) == transport(OFFER)
    with pytest.raises(OfferError, match=r"fingerprint.*sha-256"):
        transport(SESSION + without(AUDIO, "a=fingerprint") + line)


def test_too_many_fingerprints() -> None:
    with pytest.raises(OfferError, match="more than 32"):
        transport(SESSION + AUDIO + fingerprint("sha-1", 20) * 40)


@pytest.mark.parametrize(
    ("setup", "preferred", "role"),
    [
        ("actpass", DtlsRole.SERVER, DtlsRole.SERVER),
        ("actpass", DtlsRole.CLIENT, DtlsRole.CLIENT),
        ("active", DtlsRole.CLIENT, DtlsRole.SERVER),
        ("passive", DtlsRole.SERVER, DtlsRole.CLIENT),
        ("PASSIVE", DtlsRole.SERVER, DtlsRole.CLIENT),
    ],
)
def test_roles(setup: str, preferred: DtlsRole, role: DtlsRole) -> None:
    assert transport(OFFER.replace("actpass", setup), preferred).role is role


def test_a_client_that_says_nothing_of_its_role_is_active() -> None:
    assert transport(without(OFFER, "a=setup"), DtlsRole.CLIENT).role is DtlsRole.SERVER


@pytest.mark.parametrize(
    ("options", "sped"),
    [
        ("trickle", False),
        ("trickle sped googspedv1", True),
        ("trickle goog-sped-v1", True),
        ("ice2,trickle,sped", True),
        ("ice2, SPED", True),
        ("", False),
    ],
)
def test_sped(options: str, sped: bool) -> None:
    line = f"a=ice-options:{options}\r\n"
    assert transport(SESSION + AUDIO + line).sped is sped
    assert transport(SESSION + line + AUDIO + "a=ice-options:trickle\r\n").sped is sped


def test_credentials_may_have_what_older_software_puts_into_them() -> None:
    plan = transport(OFFER.replace("ufrag:abcd", "ufrag:a-_=#").replace("pwd:a", "pwd:-_=#a"))
    assert (plan.ufrag, plan.password) == ("a-_=#", "-_=#abcdefghijklmnopqrstuv")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("ufrag:abcd", "ufrag:abc", "ufrag"),
        ("ufrag:abcd", "ufrag:" + "a" * 257, "ufrag"),
        ("ufrag:abcd", "ufrag:ab cd", "ufrag"),
        ("a=ice-ufrag:abcd", "a=ice-ufrag", "ufrag"),
        ("a=ice-ufrag:abcd\r\n", "", "ufrag"),
        ("a=ice-pwd:", "a=ice-pwd::", "ice-pwd"),
        ("a=ice-pwd:abcdefghijklmnopqrstuv\r\n", "", "ice-pwd"),
        ("setup:actpass", "setup:holdconn", "setup"),
    ],
)
def test_what_a_transport_cannot_do_without(old: str, new: str, words: str) -> None:
    with pytest.raises(OfferError, match=words):
        transport(OFFER.replace(old, new))


def test_groups() -> None:
    lines = "a=group:LS 0 1\r\na=group:bundle a b\r\na=group:BUNDLE b c\r\na=group:\r\na=group\r\n"
    assert Bundles.of(read_description(SESSION + lines)).groups == {"a": 1, "b": 1, "c": 2}


def used(text: str) -> tuple[list[str], list[int]]:
    """The ufrags of the transports, and which one audio and data have."""
    made = plan(text)
    places = [each.transport for each in (made.audio, made.data) if each]
    return [each.ufrag for each in made.transports], places


DATA_OF_ITS_OWN = DATA.replace("abcd\r", "data\r")
VIDEO_OF_ITS_OWN = VIDEO.replace("abcd\r", "video\r")


@pytest.mark.parametrize(
    ("text", "ufrags", "places"),
    [
        (SESSION + GROUP + AUDIO + DATA_OF_ITS_OWN, ["abcd"], [0, 0]),
        (SESSION + "a=group:BUNDLE 1 0\r\n" + AUDIO + DATA_OF_ITS_OWN, ["data"], [0, 0]),
        (SESSION + AUDIO + DATA_OF_ITS_OWN, ["abcd", "data"], [0, 1]),
        (SESSION + DATA_OF_ITS_OWN + AUDIO, ["abcd", "data"], [0, 1]),
        (SESSION + "a=group:BUNDLE 0\r\n" + AUDIO + DATA_OF_ITS_OWN, ["abcd", "data"], [0, 1]),
        (
            SESSION + "a=group:BUNDLE 0\r\na=group:BUNDLE 1\r\n" + AUDIO + DATA_OF_ITS_OWN,
            ["abcd", "data"],
            [0, 1],
        ),
        (
            SESSION + "a=group:BUNDLE 2 1 0\r\n" + AUDIO + DATA_OF_ITS_OWN + VIDEO_OF_ITS_OWN,
            ["data"],
            [0, 0],
        ),
        (SESSION + GROUP + without(AUDIO, "a=mid") + DATA_OF_ITS_OWN, ["abcd", "data"], [0, 1]),
        (SESSION + GROUP + AUDIO, ["abcd"], [0]),
        # Only the first of the group says how to reach it, and its section is not used.
        (
            SESSION
            + "a=group:BUNDLE 2 0 1\r\n"
            + without(AUDIO + DATA, *(ICE + DTLS).split("\r\n")[:-1])
            + VIDEO_OF_ITS_OWN,
            ["video"],
            [0, 0],
        ),
        # The first of the group has ended, and what it says with it.
        (
            SESSION
            + "a=group:BUNDLE 2 3 0 1\r\n"
            + without(AUDIO + DATA, *(ICE + DTLS).split("\r\n")[:-1])
            + VIDEO_OF_ITS_OWN.replace("video 9", "video 0").replace("ufrag:video", "ufrag:ended")
            + VIDEO_OF_ITS_OWN.replace("mid:2", "mid:3"),
            ["video"],
            [0, 0],
        ),
        # A section with port 0 has its port with the group.
        (
            SESSION
            + GROUP
            + AUDIO
            + without(DATA, *(ICE + DTLS).split("\r\n")[:-1]).replace(
                "application 9", "application 0"
            )
            + "a=bundle-only\r\n",
            ["abcd"],
            [0, 0],
        ),
    ],
)
def test_which_sections_share_a_transport(text: str, ufrags: list[str], places: list[int]) -> None:
    assert used(text) == (ufrags, places)
