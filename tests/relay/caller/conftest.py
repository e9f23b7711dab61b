"""Calls are placed on real servers: those of the signaling tests."""

from tests.signaling.conftest import control, http, offer, real_server, serve, transceiver

__all__ = ["control", "http", "offer", "real_server", "serve", "transceiver"]
