"""Questions about whole systems: what no stream of packets through a relay can show.

Each is asked of one contestant, brings up what it needs, and takes it down. How long it takes is
told by its constructor's arguments alone.
"""
