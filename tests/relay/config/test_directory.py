from pathlib import Path

import pytest

from relay.config.directory import Directory
from relay.config.registry import Registry, RegistryError, Relay, RemoteCluster, Transceiver
from relay.wire.endpoint import Endpoint
from relay.wire.route import Target

VIP, OTHER = Endpoint("203.0.113.10", 3478), Endpoint("203.0.113.11", 3478)


def transceiver(slot: int, generation: int = 1) -> Transceiver:
    return Transceiver(Target(1, slot, generation), Endpoint("10.0.0.2", 5000 + slot))


def test_it_begins_with_what_is_written_and_keeps_its_clusters() -> None:
    directory = Directory(Registry((transceiver(1),)), clusters=[3])
    assert directory.clusters == {1, 3}
    directory.write(Registry((Transceiver(Target(9, 1, 1), Endpoint("10.0.0.9", 1)),)))
    assert directory.clusters == {1, 3}
    assert directory.find(Target(9, 1, 1).packed) is not None
    assert directory.find(Target(1, 1, 1).packed) is None


def test_what_is_heard_counts_where_both_speak_of_one() -> None:
    written = Registry((transceiver(1), transceiver(2)), (Relay(VIP), Relay(OTHER, name="b")))
    directory = Directory(written)
    heard = Registry((transceiver(1, generation=5),), (Relay(VIP, name="a", closed=True),))
    directory.hear(heard)
    assert {str(each.target) for each in directory.transceivers} == {"1/1.5", "1/2.1"}
    assert directory.relays == (*heard.relays, Relay(OTHER, name="b"))
    assert [each.closed for each in directory.ingresses] == [True, False]


def test_what_is_heard_no_more_leaves_what_is_written() -> None:
    directory = Directory(Registry((transceiver(1),)))
    directory.hear(Registry((transceiver(1, generation=5),)))
    directory.hear(Registry(()))
    assert directory.transceivers == directory.written.transceivers == (transceiver(1),)


def test_a_change_is_told_and_the_same_again_is_not() -> None:
    directory, told = Directory(Registry(())), []
    directory.on_change(lambda: told.append(len(directory.transceivers)))
    directory.hear(Registry((transceiver(1),)))
    directory.hear(Registry((transceiver(1),)))
    directory.write(Registry((transceiver(1),)))
    assert told == [1]


def test_a_relay_that_does_not_tell_of_its_health_may_have_it_in_the_file() -> None:
    here, there = "http://10.0.0.6:9100", "http://10.0.0.7:9100"
    directory = Directory(Registry((), (Relay(VIP, health=here), Relay(OTHER, health=here))))
    directory.hear(Registry((), (Relay(VIP, name="a"), Relay(OTHER, name="b", health=there))))
    assert [each.health for each in directory.relays] == [here, there]


def test_what_is_heard_may_be_old_and_whoever_listens_says_why() -> None:
    directory = Directory(Registry(()))
    assert directory.trouble is None
    directory.doubt(lambda: "Redis does not answer")
    assert directory.trouble == "Redis does not answer"


ELSEWHERE = (RemoteCluster(2, (VIP,)), RemoteCluster(5, (VIP,)))


async def test_a_file_that_is_broken_is_told_beside_what_is_heard(tmp_path: Path) -> None:
    file = tmp_path / "registry.toml"
    text = '[[relay]]\nvip = "203.0.113.10:3478"\n'
    file.write_text(text)
    directory = Directory.load(file)
    directory.doubt(lambda: "Redis is away")
    for broken in ("[[relay]]\nvip = 'x'\n", None):
        file.unlink() if broken is None else file.write_text(broken)
        await directory.look()
        assert "registry" in str(directory.file_trouble)
        assert directory.trouble == (
            "the registry file cannot be used as it is now: the log says why; Redis is away"
        )
        assert [each.vip for each in directory.relays] == [VIP]
    file.write_text(text)
    await directory.look()
    assert (directory.file_trouble, directory.trouble) == (None, "Redis is away")


def test_relays_of_clusters_elsewhere_may_change_and_the_clusters_may_not() -> None:
    directory = Directory(Registry((transceiver(1),), remote=ELSEWHERE[:1]))
    assert directory.clusters == {1}
    assert directory.remote_clusters == {2}
    directory.write(
        Registry((transceiver(1),), remote=(RemoteCluster(2, (OTHER,)), *ELSEWHERE[1:]))
    )
    assert directory.remote_clusters == {2}
    assert (directory.relays_of(2), directory.relays_of(5)) == ((OTHER,), ())
    directory.hear(Registry((transceiver(1, generation=5),)))
    assert directory.relays_of(2) == (OTHER,)


def test_a_cluster_is_here_or_elsewhere() -> None:
    with pytest.raises(RegistryError, match="cluster 2 is served here, and elsewhere"):
        Directory(Registry((), remote=ELSEWHERE), clusters=[1, 2])
    directory = Directory(Registry((), remote=ELSEWHERE), clusters=[1])
    directory.write(Registry((), remote=(RemoteCluster(1, (VIP,)),)))
    assert directory.relays_of(1) == ()
