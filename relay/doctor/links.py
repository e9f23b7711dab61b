"""Whether network interfaces suit the XDP program: driver, native mode, queues, MTU. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from relay.dataplane.kernel.config import Mode
from relay.doctor.finding import Finding, Verdict

SMALLEST = 1280  # bytes: the least of an IPv6 link (RFC 8200, section 5), and WebRTC's packets fit
# A packet has to fit a page of 4,096 bytes with 256 before it and some 320 behind it
# (XDP_PACKET_HEADROOM, struct skb_shared_info), or most drivers refuse native mode.
LARGEST = 3498
# Drivers whose native mode wants as many queues again for what it sends, of those they have.
_NEED_HALF = ("ena", "gve", "bnxt_en")
# With a native mode that redirects, for kernels that do not tell (before 6.3).
_KNOWN = {
    *("atlantic", "bnxt_en", "bonding", "cpsw", "dpaa2-eth", "dpaa_eth", "ena", "fec", "fsl_enetc"),
    *("gve", "hv_netvsc", "i40e", "ice", "igb", "igc", "ixgbe", "ixgbevf", "mana", "mlx5_core"),
    *("mtk_soc_eth", "mvneta", "mvpp2", "nfp", "octeontx2-nicpf", "qede", "sfc", "stmmac", "tsnep"),
    *("tun", "veth", "vif", "virtio_net"),
}


@dataclass(frozen=True, slots=True)
class Interface:
    """What is known of a network interface.

    Attributes:
        name: Its name.
        driver: Its driver's; its kind where it has none; empty where nobody tells.
        up: Whether it is up, and its link is.
        mtu: In bytes.
        native: Whether its driver runs programs that redirect; None where the kernel cannot tell.
        attached: How it runs an XDP program now; None where it runs none.
        refused: Why the program cannot run there, in a sentence; None where it can.
        queues: How many receive queues are in use, and how many there may be; None where the
            driver does not tell.
        merges: Whether hardware joins packets before XDP (LRO); None where it does not tell.
        hidden: What its offloads hide from the program, a sentence each.
        above: Addresses of the relay on interfaces above it, to which packets are taken for another
            host's, a sentence each.
    """

    name: str
    driver: str
    up: bool
    mtu: int
    native: bool | None = None
    attached: str | None = None
    refused: str | None = None
    queues: tuple[int, int] | None = None
    merges: bool | None = None
    hidden: tuple[str, ...] = ()
    above: tuple[str, ...] = ()


def look(link: Interface, mode: Mode, processors: int, trouble: Verdict) -> Iterator[Finding]:
    """What an operator should know of an interface.

    Args:
        link: The interface.
        mode: How the program is to be attached.
        processors: How many this machine has.
        trouble: What it is when the kernel path cannot be had.
    """
    if link.refused is not None:
        yield Finding.told(f"{link.name} kind", trouble, link.refused)
        return
    if not link.up:
        yield Finding(
            f"{link.name} link",
            Verdict.WARN,
            "is down, or its link is: no packet comes or goes",
            f"ip link set {link.name} up, and look at the cable or the other end",
        )
    if mode is Mode.GENERIC:
        yield Finding.ok(f"{link.name} xdp", f"driver {link.driver or 'unknown'}; generic mode")
    else:
        yield _native(link, Verdict.FAIL if mode is Mode.NATIVE else Verdict.WARN)
    yield _queues(link, processors)
    yield _mtu(link, mode)
    yield from _offloads(link)
    for sentence in link.above:
        yield Finding.told(f"{link.name} mac", Verdict.WARN, sentence)


def _native(link: Interface, trouble: Verdict) -> Finding:
    name, driver = f"{link.name} xdp", f"driver {link.driver or 'unknown'}"
    if link.attached is not None:
        if link.attached == Mode.GENERIC:
            fix = "icelane relay unload, and loading again tries native mode"
            return Finding(name, Verdict.WARN, f"{driver}; runs a program in generic mode", fix)
        return Finding.ok(name, f"{driver}; runs a program in {link.attached} mode")
    without = f"{driver} has no native XDP that redirects: generic mode is several times slower"
    fix = "another network card, or --mode generic if that is fast enough"
    if link.native is False:
        return Finding(name, trouble, without, fix)
    if link.native:
        return Finding.ok(name, f"{driver} has native XDP")
    if link.driver in _KNOWN:
        return Finding.ok(name, f"{driver} is known to have native XDP")
    return Finding.unknown(name, f"{driver}: this kernel does not tell whether it has native XDP")


def _queues(link: Interface, processors: int) -> Finding:
    name = f"{link.name} queues"
    if link.queues is None:
        return Finding.ok(name, "its driver has none to choose")
    used, most = link.queues
    if link.driver in _NEED_HALF and used > max(1, most // 2) and link.attached is None:
        return Finding(
            name,
            Verdict.WARN,
            f"{used} of {most} are in use, and {link.driver} runs native XDP with half at most",
            f"ethtool -L {link.name} combined {max(1, most // 2)}",
        )
    room = max(1, most // 2) if link.driver in _NEED_HALF else most
    if used < min(room, processors):
        return Finding(
            name,
            Verdict.WARN,
            f"{used} of {most} in use, and {processors} processors: some of them get no packets",
            f"ethtool -L {link.name} combined {min(room, processors)}",
        )
    return Finding.ok(name, f"{used} of {most} in use, for {processors} processors")


def _mtu(link: Interface, mode: Mode) -> Finding:
    name, says = f"{link.name} mtu", f"{link.mtu:,} bytes"
    if link.mtu < SMALLEST:
        return Finding(
            name,
            Verdict.WARN,
            f"{says}: packets of WebRTC do not fit, and go in fragments through the agent",
            f"ip link set {link.name} mtu 1500, if the path carries that",
        )
    if link.mtu > LARGEST and mode is not Mode.GENERIC and link.attached is None:
        return Finding(
            name,
            Verdict.WARN,
            f"{says}: most drivers refuse native XDP above {LARGEST:,}",
            f"ip link set {link.name} mtu 1500, on both ends of the link",
        )
    return Finding.ok(name, says)


def narrow(name: str, mtu: int) -> Finding | None:
    """That an interface is too narrow for a relay's packets, whatever forwards them."""
    if mtu >= SMALLEST:
        return None
    return Finding(
        f"{name} mtu",
        Verdict.WARN,
        f"{mtu:,} bytes: packets of WebRTC do not fit, and go in fragments or not at all",
        f"ip link set {name} mtu 1500, if the path carries that",
    )


def _offloads(link: Interface) -> Iterator[Finding]:
    name = f"{link.name} offloads"
    for sentence in link.hidden:
        yield Finding.told(name, Verdict.WARN, sentence)
    if link.merges:
        yield Finding(
            name,
            Verdict.WARN,
            "joins packets in hardware (LRO): drivers refuse native XDP meanwhile",
            f"ethtool -K {link.name} lro off",
        )
    elif not link.hidden:
        yield Finding.ok(name, "none that hides from the program what a packet is")
