"""SDP negotiation: an offer is read, planned and answered. Pure, and by the RFCs.

    offer = read_offer(text)
    plan = offer.plan(previous)
    text = offer.answer(plan, local)

`syntax` reads the text (RFC 8866), `audio`, `data` and `transport` read what a section says,
`negotiation` decides, `continuity` holds a later offer against the call that it changes, and
`answer` writes. Whatever a client writes ends in an answer or in an `OfferError`. `fragment` has
what of an answer is told to a client that restarts ICE without an offer.
"""

from transceiver.sdp.answer import Local
from transceiver.sdp.fragment import fragment_of, restarted
from transceiver.sdp.negotiation import Offer, read_offer
from transceiver.sdp.syntax import MAX_SIZE
from transceiver.sdp.transport import check_credentials

__all__ = [
    "MAX_SIZE",
    "Local",
    "Offer",
    "check_credentials",
    "fragment_of",
    "read_offer",
    "restarted",
]
