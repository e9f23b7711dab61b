from pathlib import Path
from typing import Any

import pytest

from signaling.regions import Regions, RegionsError

FILE = """
default = "eu"
spill = 0.9
[prefixes]
"203.0.113.0/24" = "us"
"203.0.113.128/25" = "ap"
"0.0.0.0/0" = "far"
"2001:db8::/32" = "eu"
"2001:db8:1:2::/64" = "us"
[next]
eu = ["us", "ap"]
"""


@pytest.fixture
def regions(tmp_path: Path) -> Regions:
    path = tmp_path / "regions.toml"
    path.write_text(FILE)
    return Regions.load(path)


@pytest.mark.parametrize(
    ("client", "region"),
    [
        ("203.0.113.5", "us"),
        ("203.0.113.200", "ap"),  # the longest prefix
        ("198.51.100.1", "far"),
        ("2001:db8:1:2::/64", "us"),
        ("2001:db8:1:3::/64", "eu"),
        ("2001:db9::/64", None),
        ("somebody", None),
    ],
)
def test_the_longest_prefix_says_where_a_client_is(
    regions: Regions, client: str, region: str | None
) -> None:
    assert regions.of_client(client) == region


def test_others_stand_in_for_a_region_in_their_order(regions: Regions) -> None:
    assert regions.order("eu") == ("eu", "us", "ap")
    assert regions.order("us") == ("us",)
    assert (regions.default, regions.spill) == ("eu", 0.9)


def test_without_a_file_nobody_is_anywhere() -> None:
    assert (Regions().of_client("203.0.113.5"), Regions().default) == (None, None)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"defautl": "eu"}, "unknown key defautl: did you mean default"),
        ({"default": 5}, "default must be a text"),
        ({"spill": 0}, "spill must be a number above 0"),
        ({"spill": True}, "spill must be a number above 0"),
        ({"prefixes": []}, r"write \[prefixes\]"),
        ({"prefixes": {"203.0.113.5/24": "eu"}}, "has host bits set"),
        ({"prefixes": {"example.org": "eu"}}, "example.org"),
        ({"prefixes": {"2001:db8::1/128": "eu"}}, "is longer than /64"),
        ({"prefixes": {"203.0.113.0/24": 5}}, "the region of 203"),
        ({"next": []}, r"write \[next\]"),
        ({"next": {"eu": "us"}}, r'write eu = \["REGION", "REGION"\]'),
    ],
    ids=str,
)
def test_what_is_wrong_is_said(document: dict[str, Any], says: str) -> None:
    with pytest.raises(RegionsError, match=says):
        Regions.of(document)


def test_all_that_is_wrong_is_said_at_once_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "regions.toml"
    path.write_text("default = 1\nspill = 2")
    with pytest.raises(RegionsError) as caught:
        Regions.load(path)
    assert len(caught.value.problems) == 2
    assert all(str(path) in each for each in caught.value.problems)
