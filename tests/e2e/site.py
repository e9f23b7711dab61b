"""Pages of tests and examples, served to browsers."""

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path, address: str = "127.0.0.1", name: str = "localhost") -> Iterator[str]:
    """Serve a folder at an address until the context ends; gives its URL by that name.

    The one on the loopback is a secure origin.
    """
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer((address, 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{name}:{server.server_address[1]}"
        server.shutdown()
