"""What the bridge to a Realtime service adds to a turn of a conversation, and what it costs."""
