#!/usr/bin/python3
"""The runtime runc for hosts that let nobody set limits: without rlimits and CAP_SYS_RESOURCE."""

import json
import os
import sys
from pathlib import Path

arguments = sys.argv[1:]
if "--bundle" in arguments:
    path = Path(arguments[arguments.index("--bundle") + 1]) / "config.json"
    config = json.loads(path.read_text("utf-8"))
    config["process"].pop("rlimits", None)
    for names in config["process"].get("capabilities", {}).values():
        if "CAP_SYS_RESOURCE" in names:
            names.remove("CAP_SYS_RESOURCE")
    path.write_text(json.dumps(config), "utf-8")
os.execvp("runc", ["runc", *arguments])  # noqa: S606  # it takes the place of this process
