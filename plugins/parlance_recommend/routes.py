"""The routes: Metarank's ``/rank`` and ``/feedback``, and ours under ``/recommend``."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from litestar import Controller, Request, Router, delete, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, PathParameter, QueryParameter, SkipValidation
from litestar.types import ControllerRouterHandler

from parlance.errors import NotFound, ParlanceError, TooLarge, ValidationFailed
from parlance.http.auth import caller_of, require_scope
from parlance.http.decoding import decode_json
from parlance.http.disconnect import cancel_on_disconnect
from parlance.http.ndjson import GoodLine, decode_lines, is_ndjson
from parlance.http.problems import responses
from parlance_recommend.behaviour.event import moment_ms
from parlance_recommend.openapi import AddItems, Feedback, Rank
from parlance_recommend.schemas import (
    ErasedOut,
    EventIn,
    FeedbackOut,
    ItemIn,
    ItemOut,
    ItemsOut,
    LineError,
    ProfileOut,
    RankIn,
    RankOut,
    event_of,
)
from parlance_recommend.service import Recommender, Recorded

__all__ = ["recommend_routes"]

Service = NamedDependency[SkipValidation[Recommender]]
T = TypeVar("T")

_IN_THREAD_BYTES = 64_000
_RANK = msgspec.json.Decoder(RankIn)
_EVENTS = msgspec.json.Decoder(EventIn | list[EventIn])
_ITEMS = msgspec.json.Decoder(ItemIn | list[ItemIn])


async def _decoded(body: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    if len(body) > _IN_THREAD_BYTES:
        return await asyncio.to_thread(decode_json, body, decoder)
    return decode_json(body, decoder)


def _lines(body: bytes, kind: Any) -> tuple[list[GoodLine[Any]], list[LineError]]:
    good: list[GoodLine[Any]] = []
    bad: list[LineError] = []
    for line in decode_lines(body, kind):
        if isinstance(line, GoodLine):
            good.append(line)
        else:
            bad.append(LineError(line=line.line, code=line.code, message=line.message))
    return good, bad


def _since(start: float) -> int:
    return round((time.perf_counter() - start) * 1000)


class MetarankController(Controller):
    """Drop-in for Metarank's two main routes."""

    @post(
        "/rank/{model:str}",
        status_code=200,
        guards=[require_scope("recommend:read")],
        operation_id="rank",
        operation_class=Rank,
        summary="Rank candidates for a user or a session",
        responses=responses(ValidationFailed, NotFound, TooLarge),
    )
    async def rank(
        self,
        model: Annotated[str, PathParameter(description="Ranking model; 'default' is always there.")],
        request: Request[Any, Any, Any],
        service: Service,
        explain: Annotated[bool, QueryParameter(description="Add features and reasons to every item.")] = False,
        lang: Annotated[
            Literal["en", "zh"] | None, QueryParameter(description="Language of reasons; else by Accept-Language.")
        ] = None,
        deadline_ms: Annotated[
            int | None, QueryParameter(ge=1, le=60_000, description="Time that encoding new texts may take.")
        ] = None,
    ) -> RankOut:
        """Order the candidates by how well their texts match what the user, or the session, has done so far.

        Every candidate comes back as often as it was given, best first, equal scores in your order; no candidates
        give no items. Texts that were never seen are encoded within the deadline; without them the answer comes from
        what is stored and `degraded` says so. With `explain=true` the contributions of an item's reasons sum to its
        score.
        """
        start = time.perf_counter()
        service.check_model(model)
        wanted = await _decoded(await request.body(), _RANK)
        accepted = request.headers.get("accept-language", "")
        ranking = service.rank(
            model,
            wanted.candidates(),
            user=wanted.user,
            session=wanted.session,
            at_ms=moment_ms(wanted.timestamp),
            explain=explain,
            language=lang or ("zh" if accepted.lower().startswith("zh") else "en"),
            deadline_ms=deadline_ms,
            charge_to=caller_of(request).name,
        )
        ranked = await cancel_on_disconnect(request, ranking)
        return RankOut.of(ranked, _since(start))

    @post(
        "/feedback",
        status_code=200,
        guards=[require_scope("recommend:write")],
        operation_id="feedback",
        operation_class=Feedback,
        summary="Tell what was shown and what people did",
        responses=responses(ValidationFailed, TooLarge),
    )
    async def feedback(self, request: Request[Any, Any, Any], service: Service) -> FeedbackOut:
        """Write events, each once by its `id`: `item`, `user`, `ranking` (an impression) or `interaction`.

        A JSON body is written wholly or not at all; of NDJSON the good lines are written and the bad ones reported.
        An interaction with an item that is not in the catalogue is kept, and its item named in `unknownItems`.
        """
        start = time.perf_counter()
        body = await request.body()
        rating = service.settings.rating_field
        if is_ndjson(request.headers.get("content-type", "")):
            good, bad = await asyncio.to_thread(_lines, body, EventIn)
            events = []
            for line in good:
                try:
                    events.append(event_of(_own_tenant(line.value, ""), rating_field=rating))
                except ParlanceError as error:
                    bad.append(LineError(line=line.line, code=error.code, message=str(error)))
            errors = tuple(sorted(bad, key=lambda one: one.line))
            recorded = await service.record(events) if events else Recorded(accepted=0, duplicates=0, updated=0)
            return FeedbackOut.of(recorded, _since(start), errors)
        given = await _decoded(body, _EVENTS)
        named = [(one, f"[{index}]") for index, one in enumerate(given)] if isinstance(given, list) else [(given, "")]
        found = [event_of(_own_tenant(one, where), rating_field=rating, where=where) for one, where in named]
        return FeedbackOut.of(await service.record(found), _since(start))


def _own_tenant(event: T, where: str) -> T:
    """Only the default tenant exists; an event of another one must not end up in it."""
    tenant = getattr(event, "tenant", "default")
    if tenant != "default":
        raise ValidationFailed(
            f"{where or 'event'}: tenant {tenant[:80]!r} does not exist; one server serves one tenant, 'default'.",
            code="unknown_tenant",
        )
    return event


class RecommendController(Controller):
    """Items and users."""

    path = "/recommend"

    @post(
        "/items",
        status_code=200,
        guards=[require_scope("recommend:write")],
        operation_id="putRecommendItems",
        operation_class=AddItems,
        summary="Add or replace items",
        responses=responses(ValidationFailed, TooLarge),
    )
    async def put_items(self, request: Request[Any, Any, Any], service: Service) -> ItemsOut:
        """Write catalogue entries, whole, by id. Unchanged ones cost nothing; only changed texts are encoded anew."""
        body = await request.body()
        errors: list[LineError] = []
        if is_ndjson(request.headers.get("content-type", "")):
            good, errors = await asyncio.to_thread(_lines, body, ItemIn)
            items = [line.value for line in good]
        else:
            given = await _decoded(body, _ITEMS)
            items = given if isinstance(given, list) else [given]
        updated = 0
        if items or not errors:
            updated = await service.put_items([(item.id, item.all_fields()) for item in items])
        return ItemsOut(accepted=len(items), updated=updated, errors=tuple(errors))

    @get(
        "/items/{item_id:str}",
        guards=[require_scope("recommend:read")],
        operation_id="getRecommendItem",
        summary="Read an item",
        responses=responses(NotFound),
    )
    async def item(self, item_id: FromPath[str], service: Service) -> ItemOut:
        """A catalogue entry, whether its text is encoded, and how popular it is."""
        return ItemOut.of(await service.item(item_id))

    @get(
        "/users/{user_id:str}/profile",
        guards=[require_scope("recommend:read")],
        operation_id="getRecommendProfile",
        summary="Read a user's interests",
        responses=responses(NotFound),
    )
    async def profile(self, user_id: FromPath[str], service: Service) -> ProfileOut:
        """The latest events with their weights, and the groups of similar items that they form."""
        return ProfileOut.of(await service.profile(user_id))

    @delete(
        "/users/{user_id:str}",
        status_code=200,
        guards=[require_scope("recommend:write")],
        operation_id="eraseRecommendUser",
        summary="Erase a user",
        responses=responses(ValidationFailed),
    )
    async def erase(self, user_id: FromPath[str], service: Service) -> ErasedOut:
        """Delete everything about a user: events, impressions, attributes, sessions; popularity forgets them too."""
        erased, remaining = await service.erase(user_id)
        return ErasedOut(user=user_id, remaining=remaining, **erased._asdict())


def recommend_routes(service: Recommender) -> ControllerRouterHandler:
    """All routes of the plugin."""
    return Router(
        "/",
        route_handlers=[MetarankController, RecommendController],
        dependencies={"service": Provide(lambda: service, sync_to_thread=False)},
        tags=["recommend"],
    )
