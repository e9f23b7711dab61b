"""Icelane's transceiver: ICE-lite, DTLS, SRTP and the sessions, all on one UDP socket."""

# Sessions at a time. An echo takes 5 to 10 % of a core, and a transceiver is one process.
DEFAULT_CAPACITY = 20
