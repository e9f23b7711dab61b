"""The route that makes calls: an offer is answered."""

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus

from aiohttp import hdrs, web

from relay.config.registry import Ingress
from signaling.auth.gate import caller_of
from signaling.auth.limits import Quotas
from signaling.callid import CALLS
from signaling.errors import (
    ApiError,
    CallBrokeError,
    CrowdError,
    NoTransceiverError,
    OfferRejectedError,
)
from signaling.offer import negotiated_channel, read_offer
from signaling.offerspans import UNTRACED, OfferSpans
from signaling.placement import Near
from signaling.pool import Call, TransceiverPool
from signaling.resume import HEADER as RESUME
from signaling.resume import NO_TOKENS, TOKEN_BYTES, Tokens
from signaling.room import room_for
from signaling.routes import Access, Route
from signaling.session import NO_SETUP, Setup
from signaling.tracing import SPANS

_NO_RELAY_WAIT = "2"  # seconds

Steer = Callable[[str | None, str], tuple[Ingress, Near] | None]

_log = logging.getLogger(__name__)


class CallRoutes:
    """Calls, as the Realtime API has them.

    Args:
        pool: Where calls are placed.
        ingress: Chooses the relay for a client, of whom it gets region and address, and says where
            his call wants to be; None where no relay takes new clients.
        quotas: What principals have done.
    """

    def __init__(
        self,
        pool: TransceiverPool,
        ingress: Steer,
        quotas: Quotas,
    ) -> None:
        self._pool = pool
        self._ingress = ingress
        self._quotas = quotas

    def routes(self) -> Sequence[Route]:
        """The routes."""
        return [Route(hdrs.METH_POST, CALLS, self._call, Access.CALLER, begins_call=True)]

    async def _call(self, request: web.Request) -> web.Response:
        negotiated = negotiated_channel(request.query)
        offer, asked = await read_offer(request)
        tokens = Tokens.of(request.headers, secrets.token_bytes(TOKEN_BYTES))
        call = await self.place(request, offer, negotiated, asked, tokens)
        return web.Response(
            status=HTTPStatus.CREATED,
            body=call.answer.encode(),  # as bytes: SDP's media type has no charset (RFC 8866)
            content_type="application/sdp",
            headers={"Location": f"{CALLS}/{call.id}", RESUME: tokens.own or ""},
        )

    async def place(
        self,
        request: web.Request,
        offer: str,
        negotiated: int | None = None,
        asked: Setup = NO_SETUP,
        tokens: Tokens = NO_TOKENS,
    ) -> Call:
        """Have the offer of a request answered, within what its caller may do.

        Args:
            request: The request, which has passed the gate.
            offer: Its SDP.
            negotiated: The stream of the events channel, if the client opens it without a message.
            asked: The session and model that it asks for.
            tokens: Which call it goes on with, and how another one may go on with it.

        Raises:
            ApiError: It was not; the error tells the client why.
        """
        started, caller = time.monotonic(), caller_of(request)
        setup = caller.setup(asked).continuing(tokens)
        spans = request.get(SPANS)
        async with room_for(caller.key, self._quotas, self._pool.members):
            with spans.placing() if spans is not None else UNTRACED:
                call = await self._place(offer, caller.origin.client, negotiated, setup, spans)
        if spans is not None:
            spans.answered(call.answer)
        took = (time.monotonic() - started) * 1000
        _log.info("call %s of %s placed in %.0f ms", call.id, setup.principal or "anybody", took)
        return call

    async def _place(
        self,
        offer: str,
        client: str,
        negotiated: int | None,
        setup: Setup,
        spans: OfferSpans | None,
    ) -> Call:
        steered = self._ingress(setup.region, client)
        if steered is None:
            raise ApiError(
                503,
                "no_relay",
                "The call cannot be placed now: no relay takes new clients.",
                headers={"Retry-After": _NO_RELAY_WAIT},
            )
        ingress, near = steered
        try:
            return await self._pool.place(
                offer, ingress.candidates, client, negotiated, setup, near=near, spans=spans
            )
        except OfferRejectedError as error:
            raise ApiError(400, error.code, str(error), param="sdp") from None
        except CallBrokeError:
            raise ApiError(
                500,
                "call_broke",
                "The transceiver failed while it set up this call. Try again; if it fails again, "
                "report the offer to the operator.",
            ) from None
        except CrowdError as error:
            raise ApiError(
                429,
                "too_many_unconnected_calls",
                f"This call cannot be taken now: {error}.",
                headers={"Retry-After": str(error.retry_after)},
            ) from None
        except NoTransceiverError as error:
            raise ApiError(
                503,
                "no_transceiver",
                f"The call cannot be placed now: {error}.",
                headers={"Retry-After": str(error.retry_after)},
            ) from None
