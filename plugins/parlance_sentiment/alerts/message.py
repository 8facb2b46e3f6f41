"""The message that is sent out: Alertmanager's webhook body, version 4, with the alert's evidence beside it.

A receiver that knows version 4 reads it as it is; unknown members (``alert``) are ignored by such receivers.
Format: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from __future__ import annotations

from typing import Any

from parlance_sentiment.alerts.alert import Alert

__all__ = ["alert_message"]

_NOT_ENDED = "0001-01-01T00:00:00Z"


def alert_message(alert: Alert, *, external_url: str) -> dict[str, Any]:
    """The webhook body of an alert that fired or was resolved."""
    kind, _, name = alert.key.partition(":")
    labels = {"alertname": alert.rule, "key": alert.key, "severity": alert.severity}
    if name:
        labels[kind] = name
    seen = alert.evidence
    annotations = {
        "summary": f"{seen.negative} of {seen.documents} documents about {name or alert.key} are negative "
        f"({seen.negative_share:.0%}; threshold {seen.threshold:.0%})",
        "description": str(seen.rule.get("description", "")),
        "negative_share": f"{seen.negative_share:.4f}",
        "documents": str(seen.documents),
        "models": ", ".join(seen.models),
        "rule_version": alert.rule_version,
        "stopped_by": seen.stopped_by,
    }
    base = external_url.rstrip("/")
    return {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{alert.rule}", key="{alert.key}"}}',
        "truncatedAlerts": 0,
        "status": alert.state,
        "receiver": "parlance",
        "groupLabels": {"alertname": alert.rule, "key": alert.key},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": base,
        "alerts": [
            {
                "status": alert.state,
                "labels": labels,
                "annotations": annotations,
                "startsAt": alert.starts_at.isoformat().replace("+00:00", "Z"),
                "endsAt": alert.ends_at.isoformat().replace("+00:00", "Z") if alert.ends_at else _NOT_ENDED,
                "generatorURL": f"{base}/sentiment/alerts/{alert.id}",
                "fingerprint": alert.fingerprint,
            }
        ],
        "alert": alert.as_body(),
    }
