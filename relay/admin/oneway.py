"""Flows of which one side alone is heard: the sign of a path that works in one direction; pure."""

#: A side is heard while it has sent within so many seconds, and silent when it has not for so many.
#: Both sides of a call send RTCP every 5 s.
HEARD, SILENT = 5.0, 10.0


def heard_alone(client: float, transceiver: float) -> str | None:
    """Which side alone of a confirmed flow is heard: client or transceiver; None: not one alone.

    Args:
        client: For how many seconds its client has been silent; infinity where it never sent.
        transceiver: The same of its transceiver.
    """
    if client < HEARD and transceiver > SILENT:
        return "client"
    if transceiver < HEARD and client > SILENT:
        return "transceiver"
    return None
