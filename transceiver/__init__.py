"""Icelane's transceiver: ICE-lite, DTLS, SRTP and the sessions, all on one UDP socket."""
