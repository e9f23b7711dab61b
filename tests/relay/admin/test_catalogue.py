"""The names that metrics are sorted by are those that are counted."""

import re
from pathlib import Path

import pytest

from relay.admin.catalogue import AGENT_DROPS, FORWARDED, KERNEL_DROPS, RECEIVED_FROM
from relay.dataplane.kernel import losses

ROOT = Path(__file__).parents[3]
CODE = "".join(
    path.read_text("utf-8")
    for path in sorted((ROOT / "relay").rglob("*.py"))
    if path.name != "catalogue.py"
)


def test_drops_of_the_kernel_are_those_that_the_program_drops() -> None:
    header = (ROOT / "bpf" / "relay.h").read_text("utf-8")
    dropped = re.findall(r"X\((\w+), DROP\)", header)
    lost = [
        name for name in KERNEL_DROPS if f'"{name}"' in Path(losses.__file__).read_text("utf-8")
    ]
    assert sorted(KERNEL_DROPS) == sorted([*dropped, *lost])
    assert len(lost) == 2


@pytest.mark.parametrize(
    "name",
    [
        *AGENT_DROPS,
        *RECEIVED_FROM.values(),
        *(name for names in FORWARDED.values() for name in names),
    ],
)
def test_what_is_named_is_counted_somewhere(name: str) -> None:
    assert f'"{name}"' in CODE
