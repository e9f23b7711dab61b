"""Where clients are, and which regions are next to each other: a file that an operator writes.

default = "eu"               # of clients that no prefix below has
spill = 0.9                  # from this share of its places on, a region's calls go to the next

[prefixes]
"203.0.113.0/24" = "us"
"2001:db8::/32" = "eu"

[next]                       # where to go when a region has no room, the nearest first
eu = ["us"]
us = ["eu"]
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Self

from relay.config.entryreader import MAX_NAME
from relay.config.networks import Network
from relay.config.places import Places
from relay.config.toml import read_toml, unknown
from relay.errors import ConfigError

#: Of IPv6 clients so many bits are known; see `signaling.client`.
MAX_BITS_OF_IPV6 = 64
_KNOWN = ("default", "spill", "prefixes", "next")


class RegionsError(ConfigError):
    """A file of regions cannot be used; the text says where and what to do."""


@dataclass(frozen=True, slots=True)
class Regions:
    """By what clients and calls go where.

    Attributes:
        prefixes: The region of each prefix.
        default: That of all others; None for any.
        next: To each region those that may stand in for it, the nearest first.
        spill: The share of a region's places from which on calls go to the next one.
    """

    prefixes: Mapping[Network, str] = field(default_factory=dict)
    default: str | None = None
    next: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    spill: float = 1.0
    _lengths: Mapping[int, tuple[int, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        lengths = {
            version: sorted({p.prefixlen for p in self.prefixes if p.version == version})
            for version in (4, 6)
        }
        longest_first = {version: tuple(reversed(each)) for version, each in lengths.items()}
        object.__setattr__(self, "_lengths", longest_first)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file.

        Raises:
            RegionsError: It cannot be read, or is wrong: it names all that is.
        """
        document = read_toml(path, "regions", error=RegionsError)
        try:
            return cls.of(document, Places(path))
        except RegionsError as error:
            raise RegionsError(*(f"regions {each}" for each in error.problems)) from None

    @classmethod
    def of(cls, document: Mapping[str, Any], places: Places | None = None) -> Self:
        """Take what is in a file.

        Args:
            document: What is in it.
            places: Where that stands in it.

        Raises:
            RegionsError: Something in it is wrong.
        """
        places = places or Places()
        problems = [
            places.tell(unknown(name, _KNOWN), name) for name in document if name not in _KNOWN
        ]
        default, spill = document.get("default"), document.get("spill", 1.0)
        if default is not None and not _is_name(default):
            problem = f"default must be a text of 1 to {MAX_NAME} characters"
            problems.append(places.tell(problem, "default"))
        if isinstance(spill, bool) or not isinstance(spill, int | float) or not 0 < spill <= 1:
            problem = "spill must be a number above 0 and at most 1"
            problems.append(places.tell(problem, "spill"))
        prefixes = _prefixes(document.get("prefixes", {}), places, problems)
        following = _next(document.get("next", {}), places, problems)
        if problems:
            raise RegionsError(*problems)
        return cls(prefixes, default, following, float(spill))

    def of_client(self, client: str) -> str | None:
        """The region of a client, by the longest prefix that has it.

        Args:
            client: An address, or the /64 of an IPv6 address.
        """
        try:
            own = ip_network(client, strict=False)
        except ValueError:
            return None
        for length in self._lengths[own.version]:
            if length <= own.prefixlen:
                region = self.prefixes.get(own.supernet(new_prefix=length))
                if region is not None:
                    return region
        return None

    def order(self, region: str) -> tuple[str, ...]:
        """A region, and those that may stand in for it."""
        return region, *self.next.get(region, ())


def _prefixes(table: object, places: Places, problems: list[str]) -> dict[Network, str]:
    def note(problem: str, *keys: str) -> None:
        problems.append(places.tell(problem, "prefixes", *keys))

    if not isinstance(table, dict):
        note("write [prefixes] above the prefixes")
        return {}
    found: dict[Network, str] = {}
    for text, region in table.items():
        try:
            prefix = ip_network(text)
        except ValueError as error:
            note(f"prefixes: {error}", text)
            continue
        if prefix.version == 6 and prefix.prefixlen > MAX_BITS_OF_IPV6:
            note(f"prefixes: {text} is longer than /{MAX_BITS_OF_IPV6}", text)
        if not _is_name(region):
            note(f"prefixes: the region of {text} must be a text", text)
            continue
        found[prefix] = region
    return found


def _next(table: object, places: Places, problems: list[str]) -> dict[str, tuple[str, ...]]:
    if not isinstance(table, dict):
        problem = "write [next] above the regions that stand in for others"
        problems.append(places.tell(problem, "next"))
        return {}
    for region, others in table.items():
        if not isinstance(others, list) or not all(map(_is_name, others)):
            problem = f'next: write {region} = ["REGION", "REGION"], the nearest first'
            problems.append(places.tell(problem, "next", region))
    return {} if problems else {region: tuple(others) for region, others in table.items()}


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME
