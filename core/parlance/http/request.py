"""The request class of the application: JSON bodies are decoded strictly, straight into the handler's type.

Litestar would decode into plain dictionaries and convert those leniently (``"5"`` passes for a number); here the bytes
go into the type of the handler's ``data`` parameter in one step, and errors say where.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec
from litestar import Request
from litestar.handlers import BaseRouteHandler

from parlance.http.decoding import decode_json
from parlance.http.ndjson import is_ndjson
from parlance.http.problems import UnsupportedMediaType

__all__ = ["ParlanceRequest"]

_OPTION = "parlance_decoder"


class ParlanceRequest(Request[Any, Any, Any]):
    """A request whose ``data`` is decoded strictly."""

    async def json(self) -> Any:
        """Decode the body into the type of the handler's ``data`` parameter.

        Raises:
            UnsupportedMediaType: the Content-Type is not JSON.
            BadInput: see :func:`parlance.http.decoding.decode_json`.
            ValidationFailed: likewise.
        """
        media_type = self.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if media_type != "application/json" and not media_type.endswith("+json"):
            hint = "Send 'Content-Type: application/json'."
            if is_ndjson(media_type):
                hint = "This route takes one JSON document; send 'Content-Type: application/json'."
            raise UnsupportedMediaType(f"The Content-Type '{media_type[:100]}' is not JSON.", hint=hint)
        return decode_json(await self.body(), _decoder(self.route_handler))


def _decoder(handler: BaseRouteHandler) -> msgspec.json.Decoder[Any]:
    decoder = handler.opt.get(_OPTION)
    if decoder is None:
        field = handler.parsed_fn_signature.parameters.get("data")
        decoder = handler.opt[_OPTION] = msgspec.json.Decoder(field.annotation if field is not None else Any)
    return cast("msgspec.json.Decoder[Any]", decoder)
