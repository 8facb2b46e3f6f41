"""The answer of Rasa's channel, which has two forms, for the OpenAPI description."""

from __future__ import annotations

from dataclasses import dataclass

from litestar.openapi.spec import OpenAPIMediaType, Operation, Schema

__all__ = ["STREAM", "Answered"]

STREAM = "text/event-stream"
"""What Rasa calls its stream, although it holds lines of JSON."""

_LINE = (
    '{"recipient_id":"alice","text":"Free of charge within 60 days.","message_id":"m1",'
    '"answerable":true,"confidence":0.93,"citations":[]}\n'
)


@dataclass
class Answered(Operation):
    """The operation with its answer as a stream described beside the array."""

    def __post_init__(self) -> None:
        answer = (self.responses or {}).get("200")
        content = getattr(answer, "content", None)
        if content is not None:
            lines = Schema(description="With `stream=true`: a message in each line.")
            content[STREAM] = OpenAPIMediaType(schema=lines, example=_LINE)
