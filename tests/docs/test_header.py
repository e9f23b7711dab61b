"""The layouts that docs/maps.md shows are those that the compiler has made."""

import pytest

from relay.dataplane.kernel.bpfobject import BpfObject
from relay.dataplane.kernel.build import built
