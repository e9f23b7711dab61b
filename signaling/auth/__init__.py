"""Who may call, and how much: API keys, client secrets, quotas; most of it is pure."""
