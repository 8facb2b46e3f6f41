"""Alerts: their life cycle, the evidence that they carry, and the message that is sent out."""

from parlance_sentiment.alerts.alert import Alert, State, fingerprint_of
from parlance_sentiment.alerts.evidence import DrivingDocument, Evidence, evidence_of, what_would_stop
from parlance_sentiment.alerts.message import alert_message

__all__ = [
    "Alert",
    "DrivingDocument",
    "Evidence",
    "State",
    "alert_message",
    "evidence_of",
    "fingerprint_of",
    "what_would_stop",
]
