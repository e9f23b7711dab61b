"""All lines have their turn before one has the next one."""

import os

import pytest

from tests.bench.cost import chase
from tests.lab.xdp_program import run_xdp


@pytest.mark.parametrize("order", [[0], [0, 1, 2], [3, 1, 0, 2]])
def test_every_number_is_followed_by_the_next_in_the_order(order: list[int]) -> None:
    after, number, seen = chase.followers(order), order[0], []
    for _ in order:
        seen.append(number)
        number = after[number]
    assert (seen, number) == (order, order[0])


@pytest.mark.bpf
def test_the_program_runs() -> None:
    program = chase.program(100)
    try:
        assert run_xdp(program, bytes(64), times=3).verdict == 1  # XDP_DROP
    finally:
        os.close(program)
