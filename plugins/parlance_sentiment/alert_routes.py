"""``/sentiment/alerts`` and ``/sentiment/rules``."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Controller, Request, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter, SkipValidation
from litestar.response import ServerSentEvent

from parlance.errors import Conflict, NotFound, ValidationFailed
from parlance.http.auth import caller_of, require_scope
from parlance.http.problems import responses
from parlance_sentiment.alerts import Alert, State
from parlance_sentiment.document_routes import Cursor, From, Limit, Service, To, moment
from parlance_sentiment.live import AlertStream, cursor_from
from parlance_sentiment.rules import ThresholdRule
from parlance_sentiment.schemas import AcknowledgeIn, AlertPage, RuleOut, RulesOut
from parlance_sentiment.store.alerts import AlertQuery

__all__ = ["AlertController", "RuleController"]


class AlertController(Controller):
    """Alerts: listed, read, acknowledged, followed."""

    path = "/alerts"

    @get(
        guards=[require_scope("sentiment:read")],
        operation_id="listSentimentAlerts",
        summary="List alerts, the latest first",
        responses=responses(ValidationFailed),
    )
    async def list_alerts(
        self,
        service: Service,
        in_state: Annotated[State | None, QueryParameter(name="state", description="Only in this state.")] = None,
        rule: Annotated[str | None, QueryParameter(description="Only of this rule.")] = None,
        key: Annotated[str | None, QueryParameter(description="Only of this key, such as company:NAME.")] = None,
        acknowledged: Annotated[bool | None, QueryParameter(description="Only those that were, or were not.")] = None,
        since: From = None,
        until: To = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> AlertPage:
        """Alerts that fire and those of the past, with their evidence, by the time at which they began."""
        query = AlertQuery(
            state=in_state,
            rule=rule,
            key=key,
            acknowledged=acknowledged,
            start=moment(since, "from"),
            end=moment(until, "to"),
            cursor=cursor,
            limit=limit,
        )
        found, more = await service.alerts(query)
        return AlertPage(alerts=tuple(found), next_cursor=more)

    @get(
        "/stream",
        guards=[require_scope("sentiment:read")],
        operation_id="followSentimentAlerts",
        summary="Follow alerts as server-sent events",
        media_type="text/event-stream",
        responses=responses(ValidationFailed),
    )
    async def follow(
        self,
        stream: NamedDependency[SkipValidation[AlertStream]],
        last_event_id: Annotated[
            str | None, HeaderParameter(name="Last-Event-ID", description="The last event that you have seen.")
        ] = None,
        after: Annotated[
            str | None,
            QueryParameter(description="The same, for clients that cannot set headers; 0 begins with the oldest."),
        ] = None,
    ) -> ServerSentEvent:
        """Events `alert.firing`, `alert.resolved` and `alert.updated`, each with the alert as its data.

        Ids are durable: reconnect with the last one, also after a restart of the server, and nothing is missed. Without
        an id the stream begins now. `stream.reset` says that events after your id are gone: list the alerts anew.
        """
        return ServerSentEvent(stream.events(cursor_from(last_event_id, after)))

    @get(
        "/{alert_id:str}",
        guards=[require_scope("sentiment:read")],
        operation_id="getSentimentAlert",
        summary="Read one alert",
        responses=responses(NotFound),
    )
    async def read(self, alert_id: FromPath[str], service: Service) -> Alert:
        """One alert with its evidence."""
        return await service.alert(alert_id)

    @post(
        "/{alert_id:str}/acknowledge",
        status_code=200,
        guards=[require_scope("sentiment:write")],
        operation_id="acknowledgeSentimentAlert",
        summary="Acknowledge a firing alert",
        responses=responses(NotFound, Conflict, ValidationFailed),
    )
    async def acknowledge(
        self,
        alert_id: FromPath[str],
        service: Service,
        request: Request[Any, Any, Any],
        data: JSONBody[AcknowledgeIn | None] = None,
    ) -> Alert:
        """Note who took notice. The first acknowledgement stands; an alert that was resolved cannot take one."""
        taken = data or AcknowledgeIn()
        by = taken.by.strip() or caller_of(request).name
        return await service.acknowledge(alert_id, by=by, comment=taken.comment)


class RuleController(Controller):
    """Rules: listed, created, replaced, removed."""

    path = "/rules"

    @get(
        guards=[require_scope("sentiment:read")],
        operation_id="listSentimentRules",
        summary="List the rules in force",
        responses=responses(),
    )
    async def list_rules(self, service: Service) -> RulesOut:
        """Rules of the settings and rules created over HTTP."""
        return RulesOut(rules=tuple(await service.rules()))

    @post(
        guards=[require_scope("sentiment:write")],
        operation_id="createSentimentRule",
        summary="Create a rule",
        responses=responses(Conflict, ValidationFailed),
    )
    async def create(self, data: JSONBody[ThresholdRule], service: Service) -> RuleOut:
        """Create a rule. It is judged at once on what is stored, and then with every document."""
        return await service.save_rule(data, replace=False)

    @get(
        "/{name:str}",
        guards=[require_scope("sentiment:read")],
        operation_id="getSentimentRule",
        summary="Read one rule",
        responses=responses(NotFound),
    )
    async def read(self, name: FromPath[str], service: Service) -> RuleOut:
        """One rule, with its origin and version."""
        return await service.rule(name)

    @put(
        "/{name:str}",
        guards=[require_scope("sentiment:write")],
        operation_id="putSentimentRule",
        summary="Create or replace a rule",
        responses=responses(Conflict, ValidationFailed),
    )
    async def replace(self, name: FromPath[str], data: JSONBody[ThresholdRule], service: Service) -> RuleOut:
        """Create a rule or replace it. Alerts on keys that it no longer watches are resolved."""
        if data.name != name:
            raise ValidationFailed(
                f"The path names the rule '{name}', the body '{data.name}'.", code="name_mismatch", field="name"
            )
        return await service.save_rule(data, replace=True)

    @delete(
        "/{name:str}",
        guards=[require_scope("sentiment:write")],
        operation_id="deleteSentimentRule",
        summary="Remove a rule",
        responses=responses(NotFound, Conflict),
    )
    async def remove(self, name: FromPath[str], service: Service) -> None:
        """Remove a rule; its open alerts are resolved."""
        await service.remove_rule(name)
