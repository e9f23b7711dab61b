"""Defaults that hold together; that the session table obeys limits is in test_session.py."""

import dataclasses

import pytest

from relay.core.limits import Limits
from relay.run.agent import SWEEP_EVERY

CHROMIUM_CHECKS = 2.5  # seconds between two checks of a candidate pair, at most
DEFAULTS = Limits()


def test_an_idle_flow_lives_for_at_least_two_minutes() -> None:
    assert DEFAULTS.idle >= 120  # RFC 4787 REQ-5


def test_a_pending_flow_outlives_lost_checks_of_its_client() -> None:
    assert DEFAULTS.pending_life >= 3 * CHROMIUM_CHECKS


def test_a_client_may_check_from_several_addresses_and_a_sniffer_not_from_all() -> None:
    assert 4 <= DEFAULTS.pending_per_route < DEFAULTS.pending / 100


def test_a_live_flow_is_stored_again_before_its_record_ends() -> None:
    """The mirror keeps a record for the idle time; two writes may be lost."""
    assert DEFAULTS.store_every * 3 <= DEFAULTS.idle


def test_sweeps_get_round_to_all_flows_in_time() -> None:
    assert DEFAULTS.stores * DEFAULTS.store_every / SWEEP_EVERY >= DEFAULTS.flows


def test_an_address_is_kept_through_lost_checks_of_consent() -> None:
    assert DEFAULTS.address_kept >= 3 * 5.0  # RFC 7675, section 5.1: one in 4 to 6 s


def test_a_client_that_moves_about_leaves_room_for_itself() -> None:
    assert DEFAULTS.flows_per_route >= 2 * DEFAULTS.pending_per_route


def test_limits_are_fixed_while_a_table_runs() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        DEFAULTS.flows = 1  # type: ignore[misc]
