"""Room within the quota of calls, for a call that is placed or a session that is opened."""

import contextlib
from collections.abc import AsyncIterator

from signaling.auth.apikeys import ApiKey
from signaling.auth.gate import told_of_quota
from signaling.auth.limits import Quotas
from signaling.errors import QuotaError
from signaling.members import Members


@contextlib.asynccontextmanager
async def room_for(key: ApiKey | None, quotas: Quotas, members: Members) -> AsyncIterator[None]:
    """Count what is placed while the context is entered; then its transceiver counts it.

    Args:
        key: Whose it is; None where nobody has a quota.
        quotas: What principals have done.
        members: The transceivers, which are asked anew before somebody is refused.

    Raises:
        ApiError: Its principal has as many as he may.
    """
    if key is None:
        yield
        return
    with quotas.placing(key.name):
        try:
            quotas.require_room(key.name, key.quota, members.calls_of(key.name))
        except QuotaError:
            await members.refresh()  # a call may just have ended
            with told_of_quota():
                quotas.require_room(key.name, key.quota, members.calls_of(key.name))
        yield
