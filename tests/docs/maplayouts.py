"""The reference of the pinned maps, made of bpf/maps.h and bpf/relay.h: docs/maps.md."""

from collections.abc import Iterator

from relay.dataplane.kernel.maps import DORMANT_CLIENTS, FLOW_INDEX
from tests.docs import header

_HEAD = """\
# Maps and their layouts

After this page you can read the pinned maps of a relay, with tools of your own, too.

The maps of an instance are in `/sys/fs/bpf/icelane/INSTANCE`, and outlive the agent. `icelane
maps list` shows those that are there, `icelane maps dump NAME` what is in one, decoded by the
type information (BTF) that the kernel keeps with each: so a reader never needs this page, and a
map of another version is decoded as that version laid it out. `bpftool map dump pinned
/sys/fs/bpf/icelane/INSTANCE/NAME` shows the same.

`host` is the byte order of the machine, `network` is big-endian. Offsets and sizes are in bytes.
IPv4 addresses are in their IPv4-mapped form (RFC 4291, section 2.5.5.2). Members called `pad` are
zero.

The layouts may differ from release to release: a program is loaded beside maps of its own layout
only, and what a running one has in another is written anew ([dataplane](design/dataplane.md)).

This page is made of `bpf/maps.h` and `bpf/relay.h`, their only source, by `make reference`.

## Maps

"""
# By the configuration: upstream ports, the most flows, flows of other relays.
_SIZED = ("flow_records", "flow_routes", FLOW_INDEX, DORMANT_CLIENTS)


def text() -> str:
    """The page."""
    structs = header.structs()
    parts = [
        *_maps(structs),
        "## Layouts\n",
        *(line for each in structs.values() if each.members for line in _struct(each)),
        "## Numbers\n",
        *_enums(),
    ]
    return _HEAD + "\n".join(parts)


def _maps(structs: dict[str, header.Struct]) -> Iterator[str]:
    yield "| map | kind | key | value | entries | about |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for each in header.maps():
        entries = "by the settings" if each.name in _SIZED else f"{each.entries:,}"
        key, value = (_linked(kind, structs) for kind in (each.key, each.value))
        about = " ".join(each.said.split())
        yield f"| `{each.name}` | {each.kind} | {key} | {value} | {entries} | {about} |"
    yield ""


def _linked(kind: str, structs: dict[str, header.Struct]) -> str:
    bare = kind.removeprefix("struct ").partition("[")[0]
    shown = f"`{kind}`"
    return f"[{shown}](#struct-{bare})" if bare in structs else shown


def _struct(struct: header.Struct) -> Iterator[str]:
    structs = header.structs()
    yield f"### struct {struct.name}\n"
    yield from _prose(struct.said)
    yield f"{struct.size} bytes.\n"
    yield "| at | size | member | type | byte order | meaning |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for each in struct.members:
        meaning = " ".join(each.said.split())
        yield (
            f"| {each.offset} | {each.size} | `{each.name}` | {_linked(each.type, structs)} | "
            f"{each.order} | {meaning} |"
        )
    yield ""


def _enums() -> Iterator[str]:
    for name, values in header.enums().items():
        yield f"### enum {name}\n"
        yield "| value | name | meaning |"
        yield "| --- | --- | --- |"
        for value, number, said in values:
            yield f"| {number} | `{value}` | {' '.join(said.split())} |"
        yield ""


def _prose(said: str) -> Iterator[str]:
    """A comment's paragraphs; what is indented is shown as it is."""
    for paragraph in filter(None, said.split("\n\n")):
        if paragraph[:1].isspace():
            lines = (line.expandtabs().removeprefix("        ") for line in paragraph.split("\n"))
            yield "```text\n" + "\n".join(lines) + "\n```\n"
        else:
            yield " ".join(paragraph.split()) + "\n"
