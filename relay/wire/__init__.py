"""The packets and tokens on the wire: pure code over bytes, without IO, clocks or randomness.

Servers of others use a part of it, which is public and stable (docs/fronting.md):

* ``keys``: KeyRing
* ``route``: Target, mint, open_ufrag, Route, MAX_LIFETIME, NONCE_SIZE
* ``announcement``: Announcement, is_announcement
* ``goodbye``: Goodbye
* ``endpoint``: Endpoint
* ``transport``: Transport
* ``errors``: RouteError, AnnouncementError, KeyFileError

Everything else is Icelane's own and may change with any release. The same in Go and JavaScript is
in docs/fronting, held together with this by test vectors.
"""
