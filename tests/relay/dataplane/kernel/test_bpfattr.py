"""The structures of bpf(2) are those of the kernel's own header."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from relay.dataplane.kernel import bpfattr

HEADER = Path("/usr/include/linux/bpf.h")
# Each structure: its C type, and its fields where the C type calls them otherwise.
STRUCTURES: dict[type[ctypes.Structure], tuple[str, str, dict[str, str]]] = {
    bpfattr.Element: ("union bpf_attr", "", {}),
    bpfattr.Batch: ("union bpf_attr", "batch.", {}),
    bpfattr.MapCreate: ("union bpf_attr", "", {}),
    bpfattr.BtfLoad: ("union bpf_attr", "", {}),
    bpfattr.ProgramLoad: ("union bpf_attr", "", {}),
    bpfattr.Object: ("union bpf_attr", "", {"fd": "bpf_fd", "flags": "file_flags"}),
    bpfattr.Info: ("union bpf_attr", "info.", {"fd": "bpf_fd", "length": "info_len"}),
    bpfattr.Id: ("union bpf_attr", "", {"id": "prog_id", "flags": "open_flags"}),
    bpfattr.LinkCreate: ("union bpf_attr", "link_create.", {"target": "target_fd"}),
    bpfattr.RawTracepoint: ("union bpf_attr", "raw_tracepoint.", {}),
    bpfattr.LinkUpdate: ("union bpf_attr", "link_update.", {}),
    bpfattr.LinkDetach: ("union bpf_attr", "link_detach.", {}),
    bpfattr.ProgramRun: ("union bpf_attr", "test.", {}),
    bpfattr.MapInfo: ("struct bpf_map_info", "", {}),
    bpfattr.ProgramInfo: ("struct bpf_prog_info", "", {}),
    bpfattr.XdpLinkInfo: ("struct bpf_link_info", "", {"ifindex": "xdp.ifindex"}),
    bpfattr.NetnsLinkInfo: (
        "struct bpf_link_info",
        "",
        {"netns_ino": "netns.netns_ino", "attach_type": "netns.attach_type"},
    ),
    bpfattr.BtfInfo: ("struct bpf_btf_info", "", {"size": "btf_size"}),
    bpfattr.XdpContext: ("struct xdp_md", "", {}),
}


def test_every_structure_is_compared() -> None:
    structures = {
        each
        for each in vars(bpfattr).values()
        if isinstance(each, type) and issubclass(each, ctypes.Structure)
    }
    assert structures == set(STRUCTURES)


@pytest.mark.skipif(
    shutil.which("cc") is None or not HEADER.exists(), reason="needs cc and linux/bpf.h"
)
def test_offsets_and_sizes_are_those_of_the_header(tmp_path: Path) -> None:
    mine, theirs = [], []
    for structure, (kind, prefix, names) in STRUCTURES.items():
        for name, *_ in structure._fields_:
            if name == "pad":
                continue
            field = getattr(structure, name)
            mine.append((structure.__name__, name, field.offset, field.size))
            path = prefix + names.get(name, name)
            theirs.append(
                f'printf("{structure.__name__} {name} %zu %zu\\n", offsetof({kind}, {path}), '
                f"sizeof((({kind} *)0)->{path}));"
            )
    source = tmp_path / "offsets.c"
    source.write_text(
        "#include <stddef.h>\n#include <stdio.h>\n#include <linux/bpf.h>\n"
        f"int main(void) {{ {' '.join(theirs)} }}",
        encoding="ascii",
    )
    program = tmp_path / "offsets"
    subprocess.run(["cc", source, "-o", program], check=True)
    said = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    rows = [line.split() for line in said.splitlines()]
    assert [(kind, name, int(at), int(size)) for kind, name, at, size in rows] == mine
