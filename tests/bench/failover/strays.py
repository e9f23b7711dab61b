"""Packets that came to somebody else, and what is known of each; pure."""

from dataclasses import dataclass

TO_CLIENT, TO_TRANSCEIVER = "to its client", "to its transceiver"


@dataclass(frozen=True, slots=True)
class Stray:
    """A packet of one flow that came to the client of another one, or from its upstream address.

    Attributes:
        way: `TO_CLIENT` or `TO_TRANSCEIVER`.
        flow: The number of the flow of which it is.
        other: That of the flow to which it came.
        upstream: Where its transceiver sent it, or where that got it from.
        relay: Whose address that is.
        sent: When it was sent, in seconds after the flows began.
        arrived: When it was read.
        told: When the transceiver heard first that the address is the other's; None: not at all.
    """

    way: str
    flow: int
    other: int
    upstream: str
    relay: str
    sent: float
    arrived: float
    told: float | None

    def __str__(self) -> str:
        """In words; all times are seconds after the flows began."""
        place = f"{self.upstream} (relay {self.relay})"
        if self.way == TO_CLIENT:
            course = f"sent to {place} at {self.sent:.3f} s, came to flow {self.other}'s client"
        else:
            course = f"sent at {self.sent:.3f} s, came from {place}"
        told = "was not told" if self.told is None else f"was told at {self.told:.3f} s"
        return (
            f"a packet of flow {self.flow} {self.way}, {course} at {self.arrived:.3f} s; "
            f"the transceiver {told} that flow {self.other} is there"
        )
