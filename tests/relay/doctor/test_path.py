"""Ways that are too narrow."""

from relay.doctor.path import ways


def test_narrow_ways_alone_are_told() -> None:
    (found,) = ways({"vip a": 1279, "vip b": 1280, "vip c": None})
    assert found.name == "vip a path"
    assert "1,279 bytes" in found.says
