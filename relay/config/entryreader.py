"""The entries of a registry file, read field by field; all that is wrong with them is noted."""

from collections.abc import Mapping
from typing import Any

from relay.config.places import Places
from relay.config.targets import parse_target
from relay.config.toml import unknown
from relay.wire.endpoint import Endpoint
from relay.wire.errors import EndpointError
from relay.wire.route import Target

MAX_NAME = 128  # characters of a name or a region
LIMITS = {"cluster": 1 << 16, "slot": 1 << 24, "generation": 1 << 8}


def entries(
    document: Mapping[str, Any], name: str, places: Places, problems: list[str]
) -> list[tuple[int, Mapping[str, Any]]]:
    """The entries of a table with their numbers, from 0 on; none where they are no entries."""
    entries = document.get(name, [])
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        problems.append(places.tell(f"write [[{name}]] above each {name}", name))
        return []
    return list(enumerate(entries))


class EntryReader:
    """Reads the fields of one entry, and notes what is wrong with them.

    What it returns of a wrong field is never used: somebody looks at the problems first.

    Args:
        entry: The entry.
        table: Of which table it is one.
        index: Which one, from 0 on.
        places: Where it stands in the file.
        problems: What is wrong is noted here.
    """

    _NOBODY = Endpoint("192.0.2.0", 1)

    def __init__(
        self,
        entry: Mapping[str, Any],
        table: str,
        index: int,
        places: Places,
        problems: list[str],
    ) -> None:
        self._entry = entry
        self._table = table
        self._index = index
        self._places = places
        self._problems = problems

    def expect(self, known: set[str]) -> None:
        """Note the fields that nobody knows."""
        for name in sorted(set(self._entry) - known):
            self._note(name, unknown(name, known))

    def target(self) -> Target:
        """Cluster, slot and generation."""
        return Target(*(self._number(name, limit) for name, limit in LIMITS.items()))

    def cluster(self) -> int:
        """The number of a cluster elsewhere."""
        return self._number("number", LIMITS["cluster"])

    def vips(self) -> tuple[Endpoint, ...]:
        """The public addresses of its relays, of which there is one at least."""
        if "vip" not in self._entry:
            self._note("vip", 'vip = "IP:PORT" is missing')
        vips = self.host_addresses("vip")
        if not vips and self._entry.get("vip") == []:
            self._note("vip", "vip names no address of its relays")
        return vips

    def _number(self, name: str, limit: int) -> int:
        value = self._entry.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < limit:
            return value
        self._note(name, f"{name} must be a number from 0 to {limit - 1}")
        return 0

    def host_address(self, name: str) -> Endpoint:
        """The transport address of one host."""
        text = self._entry.get(name)
        if not isinstance(text, str):
            self._note(name, f'{name} = "IP:PORT" is missing')
            return self._NOBODY
        return self._endpoint(name, text)

    def host_addresses(self, name: str) -> tuple[Endpoint, ...]:
        """Transport addresses of one host each, if there are any: one, or a list."""
        value = self._entry.get(name, [])
        texts = value if isinstance(value, list) else [value]
        if not all(isinstance(each, str) for each in texts):
            self._note(name, f'write {name} = "IP:PORT", or ["IP:PORT", "[IPv6]:PORT"]')
            return ()
        return tuple(dict.fromkeys(self._endpoint(name, text) for text in texts))

    def _endpoint(self, name: str, text: str) -> Endpoint:
        try:
            endpoint = parse_target(text)
        except EndpointError as error:
            self._note(name, f"{name}: {error}")
            return self._NOBODY
        if not endpoint.is_one_host:
            self._note(name, f"{name} {endpoint} is not the address of one host")
        return endpoint

    def url(self, name: str, example: str) -> str | None:
        """A URL of HTTP, if there is one."""
        url = self._entry.get(name)
        if url is None:
            return None
        if isinstance(url, str) and url.startswith(("http://", "https://")):
            return url
        self._note(name, f"{name} must be a URL such as {example}")
        return None

    def text(self, name: str) -> str | None:
        """A name, if there is one."""
        text = self._entry.get(name)
        if text is None or (isinstance(text, str) and 0 < len(text) <= MAX_NAME):
            return text
        self._note(name, f"{name} must be a text of 1 to {MAX_NAME} characters")
        return None

    def _note(self, name: str, problem: str) -> None:
        place = self._table, self._index, name
        self._problems.append(
            self._places.tell(f"{self._table} {self._index + 1}: {problem}", *place)
        )
