"""Why calls have ended, in few words of one piece, as metrics tell them; free of IO."""

#: What a reason begins with, and what it is called.
_ENDINGS = {
    "hung up": "hung_up",
    "lost by its client": "lost_by_client",
    "closed by the client": "closed_by_client",
    "consent lost": "consent_lost",
    "DTLS failed": "dtls_failed",
    "no check came": "no_check",
    "not connected within": "not_connected",
    "its place went": "displaced",
    "nobody took its answer": "abandoned",
    "it broke": "broke",
    "its ": "broke",
    "the transceiver stops": "transceiver_stopped",
}
OTHER = "other"
#: All that `ending` gives.
ENDINGS = (*dict.fromkeys(_ENDINGS.values()), OTHER)


def ending(reason: str) -> str:
    """What a reason, as `Call.end` has it, is called."""
    found = (name for words, name in _ENDINGS.items() if reason.startswith(words))
    return next(found, OTHER)
