"""The one tree of configuration, which all commands read: a section for each service."""

from typing import ClassVar

from relay.config.fields import (
    Address,
    CollectorUrl,
    HostAddress,
    HostAddresses,
    Names,
    OneHostAddresses,
    Share,
    Text,
    setting,
    tracing_ratio_setting,
    tracing_setting,
)
from relay.config.settings import Tree
from relay.dataplane.interface import DataplaneChoice
from relay.run.settings import Dataplane, Name, RelaySettings
from relay.wire.endpoint import Endpoint
from signaling.settings import DoorSettings, SignalingSettings
from transceiver.agent.settings import AgentSettings
from transceiver.settings import AnsweringSettings, TransceiverSettings, WorkerCount


class UpSettings(DoorSettings, AnsweringSettings):
    """What `icelane up` is told: the section ``[up]``."""

    section: ClassVar[str] = "up"

    vip: HostAddress | None = setting(
        None,
        help="the address that clients send media to",
        metavar="IP:PORT",
        shown="this host's own address, port 3478",
    )
    advertise: OneHostAddresses = setting(
        (),
        help="what clients are told in place of the VIP, behind a 1:1 NAT",
        metavar="IP:PORT",
        shown="the VIP",
        example="198.51.100.7:3478",
    )
    tcp: HostAddresses = setting(
        (),
        help="an address on which clients connect over TCP, where UDP is blocked",
        metavar="IP:PORT",
        shown="the VIP",
    )
    listen: Address = setting(
        Endpoint("127.0.0.1", 8080),
        help="where signaling and its page are served",
        metavar="IP:PORT",
    )
    dataplane: Dataplane = setting(
        DataplaneChoice.USERSPACE,
        help="what forwards: userspace, xdp, or auto: XDP where it can be had",
    )
    interface: Names = setting(
        (),
        help="the public interface, which runs the XDP program",
        metavar="NAME",
        shown="none",
        example="eth0",
    )
    backend: Text | None = setting(
        None,
        help="who answers calls: agent (the offline one), echo, ws://... or wss://..., "
        "or one of the table by its name",
        metavar="BACKEND",
        shown="the first of the table, or agent",
        example="agent",
    )
    workers: WorkerCount = setting(
        1,
        help="how many processes serve calls; with one, it is this one",
        metavar="NUMBER",
    )
    instance: Name = setting("up", help="a name, where several run", metavar="NAME")
    tracing: CollectorUrl | None = tracing_setting()
    tracing_ratio: Share = tracing_ratio_setting()


TREE: Tree = {
    model.section: model
    for model in (RelaySettings, TransceiverSettings, SignalingSettings, AgentSettings, UpSettings)
}
