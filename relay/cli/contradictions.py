"""Settings of one file that contradict each other, though each service would start. Pure."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from relay.cli.tree import UpSettings
from relay.config.conflict import written
from relay.config.settings import Settings
from relay.dataplane.interface import DataplaneChoice
from relay.run.config import DEFAULT_CLUSTER
from relay.run.settings import RelaySettings
from relay.wire.endpoint import Endpoint
from signaling.settings import DoorSettings, SignalingSettings
from transceiver.agent.settings import AgentSettings
from transceiver.settings import TransceiverSettings

#: The ports that Linux gives to sockets by itself, unless told otherwise (ip_local_port_range).
EPHEMERAL = range(32_768, 61_000)


@dataclass(frozen=True, slots=True)
class Contradiction:
    """What does not fit.

    Attributes:
        section: In which section.
        name: The setting to look at.
        text: What is the matter with it.
    """

    section: str
    name: str
    text: str


def contradictions(
    sections: Mapping[str, Settings], given: Mapping[str, Collection[str]]
) -> list[Contradiction]:
    """What does not fit within services, and between those that one file describes.

    Args:
        sections: The settings by section; each is right by itself.
        given: The settings that somebody has set, by section.
    """
    found: list[Contradiction] = []
    for section, settings in sections.items():
        own = given.get(section, ())
        for name, text in _within(settings, own):
            found.append(Contradiction(section, name, text))
    return found + list(_between(sections))


def _within(settings: Settings, given: Collection[str]) -> Iterator[tuple[str, str]]:
    if isinstance(settings, RelaySettings):
        yield from _rates(settings)
        yield from _ports(settings)
        yield from _idle_settings(settings, given, _RELAY)
    if isinstance(settings, TransceiverSettings):
        yield from _idle_settings(settings, given, _TRANSCEIVER)
    if isinstance(settings, SignalingSettings):
        yield from _idle_settings(settings, given, _SIGNALING)
    if isinstance(settings, DoorSettings) and settings.open and settings.keys_file:
        yield "open", "has no effect: keys-file is set, and who has no key gets in nowhere"
    if isinstance(settings, UpSettings):
        yield from _idle_settings(settings, given, _UP)


def _rates(relay: RelaySettings) -> Iterator[tuple[str, str]]:
    for narrow, wide in (
        ("setup_rate_per_prefix", "setup_rate"),
        ("setup_rate_per_ufrag", "setup_rate_per_prefix"),
    ):
        least, most = getattr(relay, narrow), getattr(relay, wide)
        if least > most:
            yield (
                narrow,
                f"{least} is never reached: {written(wide)} lets only {most} a second through",
            )


def _ports(relay: RelaySettings) -> Iterator[tuple[str, str]]:
    for name, ports in (("ports", relay.ports), ("tcp_ports", relay.tcp_ports)):
        if (
            (name == "ports" or relay.tcp)
            and ports[-1] >= EPHEMERAL[0]
            and ports[0] <= EPHEMERAL[-1]
        ):
            text = (
                f"{ports[0]}-{ports[-1]} reaches into the ports that Linux gives to any socket "
                f"({EPHEMERAL[0]}-{EPHEMERAL[-1]}): stay below them, or reserve these "
                "(net.ipv4.ip_local_reserved_ports)"
            )
            yield name, text
    room = len(relay.tcp_ports) * len(relay.upstream)
    if relay.tcp and relay.max_connections > room:
        text = (
            f"{relay.max_connections} connections are more than the {room} upstream ports that "
            "tcp-ports has for their flows"
        )
        yield "max_connections", text


# A setting, whether it is without effect, and why.
_Idle = tuple[str, Callable[[Any], bool], str]
_RELAY: list[_Idle] = [
    *(
        (name, lambda relay: not relay.tcp, "tcp is not set")
        for name in ("tcp_ports", "max_connections")
    ),
    ("metrics_public", lambda relay: relay.metrics is None, "metrics is not set"),
    *(
        (name, lambda relay: not relay.interface, "interface is not set")
        for name in ("mode", "force")
    ),
    *(
        (name, lambda relay: relay.dataplane is DataplaneChoice.USERSPACE, "dataplane is userspace")
        for name in ("mode", "force")
    ),
    *((name, lambda relay: relay.redis is None, "redis is not set") for name in ("name", "region")),
]
_TRANSCEIVER: list[_Idle] = [
    ("region", lambda transceiver: transceiver.redis is None, "redis is not set"),
    ("generation", lambda each: each.redis is not None, "with redis the registry counts"),
]
_SIGNALING: list[_Idle] = [
    (name, lambda signaling: signaling.redis is None, "redis is not set")
    for name in ("keys", "cluster", "allow")
]
_UP: list[_Idle] = [
    ("interface", lambda up: up.dataplane is DataplaneChoice.USERSPACE, "dataplane is userspace")
]


def _idle_settings(
    settings: Settings, given: Collection[str], known: list[_Idle]
) -> Iterator[tuple[str, str]]:
    told = set()
    for name, idle, why in known:
        if name in given and name not in told and idle(settings):
            told.add(name)
            yield name, f"has no effect: {why}"


def _between(sections: Mapping[str, Settings]) -> Iterator[Contradiction]:
    relay, transceiver = sections.get("relay"), sections.get("transceiver")
    yield from _redis(sections)
    yield from _listening(sections)
    if isinstance(relay, RelaySettings) and isinstance(transceiver, TransceiverSettings):
        yield from _room(relay, transceiver)
        yield from _clusters(relay, transceiver)


def _redis(sections: Mapping[str, Settings]) -> Iterator[Contradiction]:
    urls = {name: getattr(each, "redis", None) for name, each in sections.items()}
    named = {name: url for name, url in urls.items() if url is not None}
    first = next(iter(named), None)
    for name, url in named.items():
        if first is not None and url != named[first]:
            text = f"is not that of [{first}]: services in different ones do not see each other"
            yield Contradiction(name, "redis", text)


def _listening(sections: Mapping[str, Settings]) -> Iterator[Contradiction]:
    """Two services that want one address (HTTP). `icelane up` runs in place of the others."""
    taken: dict[Endpoint, str] = {}
    for section, name, address in _addresses(sections):
        if address in taken:
            yield Contradiction(section, name, f"{address} is that of {taken[address]}, too")
        taken.setdefault(address, f"{written(name)} in [{section}]")


def _addresses(sections: Mapping[str, Settings]) -> Iterator[tuple[str, str, Endpoint]]:
    for section, settings in sections.items():
        if isinstance(settings, TransceiverSettings):
            for more in range(settings.workers):
                host, port = settings.control
                yield section, "control", Endpoint(host, port + more)
        if isinstance(settings, SignalingSettings | AgentSettings):
            yield section, "listen", settings.listen
        if isinstance(settings, SignalingSettings | RelaySettings) and settings.metrics:
            yield section, "metrics", settings.metrics


def _room(relay: RelaySettings, transceiver: TransceiverSettings) -> Iterator[Contradiction]:
    sessions = transceiver.capacity * transceiver.workers
    flows = relay.max_flows or len(relay.upstream) * len(relay.ports)
    if sessions > flows:
        text = f"{sessions} sessions are more than the {flows} flows for which [relay] has room"
        yield Contradiction("transceiver", "capacity", text)
    host, port = transceiver.listen
    if host in relay.upstream and port in relay.ports:
        text = f"{transceiver.listen} lies among the upstream ports of [relay]"
        yield Contradiction("transceiver", "listen", text)


def _clusters(relay: RelaySettings, transceiver: TransceiverSettings) -> Iterator[Contradiction]:
    served = relay.cluster or (() if relay.registry else (DEFAULT_CLUSTER,))
    if served and relay.redis and transceiver.redis and transceiver.cluster not in served:
        text = f"[relay] routes to cluster {', '.join(map(str, served))} only"
        yield Contradiction("transceiver", "cluster", text)
