"""Three hosts that stand for client, relay and transceiver, and the systems that run there."""
