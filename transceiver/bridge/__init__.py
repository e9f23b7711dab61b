"""A call's back end that is a WebSocket client of any Realtime service."""
