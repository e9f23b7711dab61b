"""A machine reaches Debian's archive as its host does."""

from vagrant import hostconfig

TARGETS = """\
Debian http://mirror.example/debian/ bookworm main
Debian http://mirror.example/debian/ bookworm main
Debian http://mirror.example/debian/ bookworm-updates main
Debian http://security.example/debian-security/ bookworm-security main
Docker http://docker.example/linux/debian/ bookworm stable
"""


def test_sources_are_those_of_this_host_as_far_as_they_are_debians() -> None:
    assert hostconfig.sources(TARGETS) == (
        "deb http://mirror.example/debian bookworm main\n"
        "deb http://mirror.example/debian bookworm-updates main\n"
        "deb http://security.example/debian-security bookworm-security main\n"
    )
    assert hostconfig.mirror(hostconfig.sources(TARGETS)) == "http://mirror.example/debian"


def test_a_host_of_another_release_gives_the_public_archive() -> None:
    for targets in ("", TARGETS.replace("bookworm", "trixie"), TARGETS.splitlines()[2]):
        found = hostconfig.sources(targets)
        assert found == hostconfig.DEFAULT_SOURCES
        assert hostconfig.mirror(found) == hostconfig.DEFAULT_MIRROR


def test_settings_that_say_how_to_reach_an_archive_are_taken_and_no_others() -> None:
    dump = """\
Acquire "";
Acquire::http::Proxy "http://proxy.example:3128";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::Check-Valid-Until "false";
Acquire::httpsomething "x";
"""
    assert hostconfig.settings(dump) == (
        'Acquire::http::Proxy "http://proxy.example:3128";\nAcquire::Check-Valid-Until "false";\n'
    )
