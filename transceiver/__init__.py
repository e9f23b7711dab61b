"""Icelane's transceiver: ICE-lite, DTLS, SRTP and the sessions, all on one UDP socket."""

# Sessions at a time. A transceiver is one process: 70 that echo with FEC under 5 % loss take two
# thirds of a core, 120 on a clean network 66 to 82 %. `python -m tests.bench density`
DEFAULT_CAPACITY = 70
