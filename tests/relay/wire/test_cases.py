import pytest

from tests.relay.wire.cases import CASES, CLUSTER, KEYS, Case
from tests.relay.wire.verdict import verdict


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_parser_in_python_decides_as_the_file_says(case: Case) -> None:
    assert verdict(case.payload, KEYS, CLUSTER) == case.verdict


def test_names_and_datagrams_are_different() -> None:
    assert len({case.name for case in CASES}) == len({case.payload for case in CASES}) == len(CASES)
