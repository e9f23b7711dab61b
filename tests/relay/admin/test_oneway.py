from math import inf

import pytest

from relay.admin.oneway import HEARD, SILENT, heard_alone


@pytest.mark.parametrize(
    ("client", "transceiver", "alone"),
    [
        (0.0, inf, "client"),
        (inf, 0.0, "transceiver"),
        (HEARD - 0.1, SILENT + 0.1, "client"),
        (HEARD + 0.1, SILENT + 0.1, None),  # the client has left, too
        (HEARD - 0.1, SILENT - 0.1, None),  # there may be RTCP any moment
        (0.0, 0.0, None),
        (inf, inf, None),
    ],
)
def test_one_side_alone(client: float, transceiver: float, alone: str | None) -> None:
    assert heard_alone(client, transceiver) == alone
