import pytest

from relay.wire.siphash import KEY_SIZE, TAG_SIZE, tag, tag_number

KEY = bytes(range(KEY_SIZE))

# The reference vectors (Aumasson and Bernstein, appendix A and vectors.h of the reference code):
# entry n is the tag of the bytes 0 to n - 1.
VECTORS = [
    "310e0edd47db6f72",
    "fd67dc93c539f874",
    "5a4fa9d909806c0d",
    "2d7efbd796666785",
    "b7877127e09427cf",
    "8da699cd64557618",
    "cee3fe586e46c9cb",
    "37d1018bf50002ab",
    "6224939a79f5f593",
    "b0e4a90bdf82009e",
    "f3b9dd94c5bb5d7a",
    "a7ad6b22462fb3f4",
    "fbe50e86bc8f1e75",
    "903d84c02756ea14",
    "eef27a8e90ca23f7",
    "e545be4961ca29a1",
]


@pytest.mark.parametrize(("size", "expected"), list(enumerate(VECTORS)))
def test_reference_vectors(size: int, expected: str) -> None:
    assert tag(KEY, bytes(range(size))).hex() == expected


def test_the_number_is_the_papers_own_example() -> None:
    assert tag_number(KEY, bytes(range(15))) == 0xA129CA6149BE45E5


def test_the_tag_has_its_size_and_depends_on_the_key() -> None:
    assert len(tag(KEY, b"")) == TAG_SIZE
    assert tag(KEY, b"route") != tag(KEY[::-1], b"route")


def test_a_key_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="key"):
        tag(KEY + b"\0", b"")
