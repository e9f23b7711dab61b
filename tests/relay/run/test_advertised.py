"""What clients are told of a relay's VIPs, and when that cannot be right."""

import pytest

from relay.config.conflict import ConflictError
from relay.config.registry import Registry, Relay
from relay.run.advertised import advertised, agreed, conflicts, told_of, unheard
from relay.wire.endpoint import Endpoint

VIP, OTHER, VIP6 = (Endpoint(host, 3478) for host in ("10.0.0.5", "10.0.0.6", "2001:db8::5"))
PUBLIC, SECOND = Endpoint("203.0.113.10", 3478), Endpoint("203.0.113.11", 443)
PUBLIC6 = Endpoint("2001:db8:1::10", 3478)


@pytest.mark.parametrize(
    ("vips", "advertise", "told"),
    [
        ((VIP,), (), (VIP,)),
        ((VIP,), (PUBLIC,), (PUBLIC,)),
        ((VIP,), (PUBLIC, SECOND), (PUBLIC, SECOND)),
        # A cloud translates IPv4 only: what is IPv6 is public as it is.
        ((VIP, VIP6), (PUBLIC,), (PUBLIC, VIP6)),
        ((VIP6, VIP), (PUBLIC,), (VIP6, PUBLIC)),
        ((VIP, OTHER, VIP6), (PUBLIC6, SECOND, PUBLIC), (SECOND, PUBLIC, PUBLIC6)),
    ],
)
def test_advertised_addresses_stand_in_for_the_vips_of_their_ip_version(
    vips: tuple[Endpoint, ...], advertise: tuple[Endpoint, ...], told: tuple[Endpoint, ...]
) -> None:
    assert advertised(vips, advertise) == told
    assert list(conflicts(vips, advertise)) == []


@pytest.mark.parametrize(
    ("vips", "advertise", "says"),
    [
        (
            (VIP,),
            (PUBLIC6,),
            (
                "an IPv6 address is advertised, and no VIP is IPv6: add one with --vip, or leave "
                "it out of --advertise"
            ),
        ),
        (
            (VIP, OTHER, VIP6),
            (PUBLIC,),
            (
                "2 VIPs are IPv4, and 1 advertised: clients would not find all of them: name one "
                "for each VIP with --advertise"
            ),
        ),
    ],
)
def test_addresses_that_do_not_fit_the_vips_conflict(
    vips: tuple[Endpoint, ...], advertise: tuple[Endpoint, ...], says: str
) -> None:
    assert [each.sentence() for each in conflicts(vips, advertise)] == [says]


class TestWithTheRegistry:
    def test_it_says_what_the_settings_leave_open(self) -> None:
        registry = Registry((), (Relay(VIP, (PUBLIC, PUBLIC6)), Relay(VIP6)))
        assert agreed((VIP, VIP6, OTHER), (), registry) == (PUBLIC, PUBLIC6, VIP6, OTHER)

    def test_it_need_not_know_the_relay(self) -> None:
        registry = Registry((), (Relay(OTHER, (SECOND,)),))
        assert agreed((VIP,), (PUBLIC,), registry) == (PUBLIC,)
        assert agreed((VIP,), (), registry) == (VIP,)

    def test_the_same_twice_is_fine(self) -> None:
        registry = Registry((), (Relay(VIP, (PUBLIC,)), Relay(VIP6)))
        assert agreed((VIP, VIP6), (PUBLIC,), registry) == (PUBLIC, VIP6)

    @pytest.mark.parametrize(
        ("relay", "told"),
        [(Relay(VIP), VIP), (Relay(VIP, (SECOND,)), SECOND)],
        ids=["the VIP", "another address"],
    )
    def test_it_may_not_tell_clients_another_address(self, relay: Relay, told: Endpoint) -> None:
        with pytest.raises(ConflictError) as caught:
            agreed((VIP,), (PUBLIC,), Registry((), (relay,)))
        assert str(caught.value) == (
            f"the registry tells clients {told}, and the relay is told that it is advertised as "
            f"{PUBLIC}: write advertise below its vip in the registry, or correct --advertise"
        )


def on(port: int, at: Endpoint) -> Endpoint:
    return at._replace(port=port)


class TestUnheard:
    """The registry offers TCP, and the relay does not listen there."""

    @pytest.mark.parametrize(
        ("relay", "tcp", "missing", "remedy"),
        [
            (Relay(VIP, (), (VIP,)), (), VIP, VIP),
            (Relay(VIP, (), (VIP, on(443, VIP))), (VIP,), on(443, VIP), on(443, VIP)),
            (Relay(VIP, (), (PUBLIC,)), (VIP,), PUBLIC, PUBLIC),
            # Behind a NAT the relay listens at its own address.
            (Relay(VIP, (PUBLIC,), (on(443, PUBLIC),)), (), on(443, PUBLIC), on(443, VIP)),
            (Relay(VIP, (PUBLIC,), (PUBLIC6, PUBLIC)), (VIP,), PUBLIC6, VIP6),
        ],
        ids=["nowhere", "one port of two", "elsewhere", "behind a NAT", "the other IP version"],
    )
    def test_it_says_where_and_what_to_do(
        self, relay: Relay, tcp: tuple[Endpoint, ...], missing: Endpoint, remedy: Endpoint
    ) -> None:
        assert unheard((VIP, VIP6), tcp, Registry((), (relay,))) == (
            f"the registry tells clients to connect over TCP to {missing}, and this relay does not "
            f"listen there: add --tcp {remedy}, or take that out of tcp below its vip in the "
            "registry"
        )

    def test_all_addresses_are_in_one_sentence(self) -> None:
        said = unheard((VIP,), (), Registry((), (Relay(VIP, (), (VIP, on(443, VIP))),)))
        assert said is not None
        assert f"to {VIP}, {on(443, VIP)}, and" in said
        assert f"add --tcp {VIP} --tcp {on(443, VIP)}, or" in said

    @pytest.mark.parametrize(
        ("relay", "tcp"),
        [
            (Relay(VIP), ()),
            (Relay(VIP), (VIP,)),
            (Relay(VIP, (), (VIP,)), (on(443, VIP), VIP)),
            (Relay(VIP, (), (on(443, OTHER),)), (on(443, OTHER),)),
            (Relay(OTHER, (), (OTHER,)), ()),
            # The NAT may map ports.
            (Relay(VIP, (PUBLIC,), (on(443, PUBLIC),)), (on(8443, VIP),)),
        ],
        ids=[
            "none",
            "own servers",
            "both",
            "an address of its own",
            "another relay",
            "mapped port",
        ],
    )
    def test_it_says_nothing_where_nothing_can_be_known_to_be_wrong(
        self, relay: Relay, tcp: tuple[Endpoint, ...]
    ) -> None:
        assert unheard((VIP, VIP6), tcp, Registry((), (relay,))) is None


class TestToldOf:
    """A relay's VIPs as the registry in Redis has them."""

    def test_each_has_what_is_told_in_its_place(self) -> None:
        assert told_of((VIP, VIP6), (PUBLIC,), ()) == (Relay(VIP, (PUBLIC,)), Relay(VIP6))

    def test_connections_go_where_it_listens(self) -> None:
        at = VIP._replace(port=443)
        assert told_of((VIP, VIP6), (), (at, VIP6)) == (
            Relay(VIP, (), (at,)),
            Relay(VIP6, (), (VIP6,)),
        )

    def test_behind_a_nat_they_go_to_its_address_and_the_same_ports(self) -> None:
        at = VIP._replace(port=443)
        public = PUBLIC._replace(port=3500)  # it maps the port of the VIP
        (told,) = told_of((VIP,), (public,), (VIP, at))
        assert told == Relay(VIP, (public,), (public, public._replace(port=443)))

    def test_an_address_of_another_family_is_told_with_the_first(self) -> None:
        assert told_of((VIP,), (), (VIP6,)) == (Relay(VIP, (), (VIP6,)),)
