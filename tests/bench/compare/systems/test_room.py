"""How many flows a system can have that opens a socket for each."""

import resource

import pytest

from tests.bench.compare.systems.room import most_sockets


@pytest.mark.parametrize(
    ("files", "flows"), [(20_000, 19_000), (1_000_000, 50_000), (resource.RLIM_INFINITY, 50_000)]
)
def test_neither_files_nor_ports_run_out(
    monkeypatch: pytest.MonkeyPatch, files: int, flows: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, files))
    assert most_sockets() == flows
