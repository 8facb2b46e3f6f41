"""Models over HTTP: ``/v1/models`` and ``/v1/embeddings`` as OpenAI's clients speak them, and our own task routes.

``/v1/embeddings`` is the hot path: the request is decoded in one step, vectors go from numpy into the body without
becoming Python objects when base64 is asked for, which OpenAI's client does.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from litestar import Request, Response, get, post
from litestar.params import JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from parlance.engine.interface import CallOptions, Engine
from parlance.errors import DeadlineExceeded, NotFound, Overloaded
from parlance.http.auth import caller_of, require_scope
from parlance.http.builtin.served import served_models
from parlance.http.decoding import invalid_field
from parlance.http.disconnect import cancel_on_disconnect
from parlance.http.limits import check_batch, check_text, check_texts
from parlance.http.problems import responses
from parlance.observe.stages import stage
from parlance.plugins.context import PluginContext
from parlance.plugins.hookspecs import hookimpl
from parlance.plugins.state import ServerState
from parlance.settings import LimitSettings
from parlance.tasks import Classification, Embeddings, Origin, Role, Span

__all__ = ["InferencePlugin"]

ModelName = Annotated[str, Meta(min_length=1, max_length=200, description="A model's name or alias.")]
Text = Annotated[str, Meta(description="Any language that the model knows.", examples=["Shares rose.", "股价上涨。"])]
DeadlineS = Annotated[float, Meta(gt=0, le=600, description="Seconds after which the answer is of no use.")]
_ERRORS = responses(NotFound, Overloaded, DeadlineExceeded)
_JSON = "application/json"


class EmbeddingsRequest(msgspec.Struct, kw_only=True):
    """OpenAI's request; unknown members are ignored, as its server does."""

    model: Annotated[str, Meta(min_length=1, max_length=200, examples=["embed-en"])]
    input: Annotated[
        str | list[Any], Meta(description="A text, or a list of texts.", examples=[["My card was declined."]])
    ]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Meta(ge=1, description="Keep the first so many numbers, rescaled.")] | None = None
    user: str | None = None
    role: Annotated[Role, Meta(description="What the texts are to a retrieval model.")] = Role.PASSAGE


class EmbeddingItem(msgspec.Struct, frozen=True):
    """One text's vector."""

    object: str
    index: int
    embedding: list[float] | str


class Usage(msgspec.Struct, frozen=True):
    """Tokens that the model read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(msgspec.Struct, frozen=True):
    """OpenAI's answer."""

    object: str
    data: list[EmbeddingItem]
    model: str
    usage: Usage


class ModelItem(msgspec.Struct, frozen=True):
    """One model, in OpenAI's form with our task and state."""

    id: str
    object: str
    created: int
    owned_by: str
    task: str
    state: str
    version: str


class ModelList(msgspec.Struct, frozen=True):
    """All models."""

    object: str
    data: list[ModelItem]


class TextsRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Texts for one model."""

    model: ModelName
    texts: Annotated[list[Text], Meta(min_length=1, description="In the order of the answers.")]
    deadline_s: DeadlineS | None = None
    overlong: Annotated[
        Literal["truncate", "refuse"], Meta(description="What to do with a text above the model's limit.")
    ] = "truncate"


class PairsRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Pairs of texts for a scoring model."""

    model: ModelName
    pairs: Annotated[list[tuple[Text, Text]], Meta(min_length=1, description="Query and candidate.")]
    deadline_s: DeadlineS | None = None


class ClassifyAnswer(msgspec.Struct, frozen=True):
    """A classification for each text, in order."""

    results: list[Classification]


class TaggedText(msgspec.Struct, frozen=True):
    """The spans of one text; offsets count characters of the text as sent."""

    spans: list[Span]


class TagAnswer(msgspec.Struct, frozen=True):
    """The spans of each text, in order."""

    results: list[TaggedText]


class ScoreAnswer(msgspec.Struct, frozen=True):
    """A score for each pair, in order; higher means a better match."""

    scores: list[float]
    origin: Origin


class InferencePlugin:
    """Direct use of models; needs the scope ``models:use``."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    @hookimpl
    def parlance_routes(self, context: PluginContext[Any]) -> Sequence[ControllerRouterHandler]:
        """Routes of the tasks."""
        return [
            _models_route(self._state),
            _embeddings_route(context.engine, context.limits),
            *_task_routes(context.engine, context.limits),
        ]


def _models_route(state: ServerState) -> ControllerRouterHandler:
    @get(
        "/v1/models",
        tags=["inference"],
        operation_id="list_models",
        summary="List models",
        guards=[require_scope("models:use")],
        sync_to_thread=False,
    )
    def models() -> ModelList:
        items = [ModelItem(m.name, "model", 0, "parlance", m.task, m.state, m.version) for m in served_models(state)]
        return ModelList("list", items)

    return models


def _embeddings_route(engine: Engine, limits: LimitSettings) -> ControllerRouterHandler:
    @post(
        "/v1/embeddings",
        tags=["inference"],
        operation_id="create_embeddings",
        summary="Embed texts (OpenAI's form)",
        guards=[require_scope("models:use")],
        responses=_ERRORS,
        status_code=200,
    )
    async def embeddings(
        data: JSONBody[EmbeddingsRequest], request: Request[Any, Any, Any]
    ) -> Response[EmbeddingsAnswer]:
        texts = _input_texts(data.input, limits)
        call = engine.embed(texts, model=data.model, role=data.role, options=_options(request))
        found = await cancel_on_disconnect(request, call)
        with stage("encode"):
            body = _encode(found, data)
        return Response(body, media_type=_JSON)  # type: ignore[arg-type]  # the answer, encoded already

    return embeddings


def _task_routes(engine: Engine, limits: LimitSettings) -> list[ControllerRouterHandler]:
    guards = [require_scope("models:use")]

    @post(
        "/v1/classify",
        tags=["inference"],
        operation_id="classify",
        summary="Classify texts",
        guards=guards,
        responses=_ERRORS,
        status_code=200,
    )
    async def classify(data: JSONBody[TextsRequest], request: Request[Any, Any, Any]) -> ClassifyAnswer:
        check_texts(data.texts, limits)
        call = engine.classify(data.texts, model=data.model, options=_options(request, data.deadline_s, data.overlong))
        return ClassifyAnswer(await cancel_on_disconnect(request, call))

    @post(
        "/v1/tag",
        tags=["inference"],
        operation_id="tag",
        summary="Find labelled spans in texts",
        guards=guards,
        responses=_ERRORS,
        status_code=200,
    )
    async def tag(data: JSONBody[TextsRequest], request: Request[Any, Any, Any]) -> TagAnswer:
        check_texts(data.texts, limits)
        call = engine.tag(data.texts, model=data.model, options=_options(request, data.deadline_s, data.overlong))
        return TagAnswer([TaggedText(spans) for spans in await cancel_on_disconnect(request, call)])

    @post(
        "/v1/score",
        tags=["inference"],
        operation_id="score",
        summary="Score pairs of texts",
        guards=guards,
        responses=_ERRORS,
        status_code=200,
    )
    async def score(data: JSONBody[PairsRequest], request: Request[Any, Any, Any]) -> ScoreAnswer:
        check_batch(len(data.pairs), limits, path="pairs")
        for index, pair in enumerate(data.pairs):
            for half, text in enumerate(pair):
                check_text(text, limits, path=f"pairs[{index}][{half}]", index=index)
        call = engine.score(data.pairs, model=data.model, options=_options(request, data.deadline_s))
        found = await cancel_on_disconnect(request, call)
        return ScoreAnswer([float(value) for value in found.values], found.origin)

    return [classify, tag, score]


def _options(
    request: Request[Any, Any, Any],
    deadline_s: float | None = None,
    overlong: Literal["truncate", "refuse"] = "truncate",
) -> CallOptions:
    return CallOptions(charge_to=caller_of(request).name, deadline_s=deadline_s, overlong=overlong)


def _input_texts(given: str | list[Any], limits: LimitSettings) -> list[str]:
    if isinstance(given, str):
        check_text(given, limits, path="input")
        return [given]
    for index, item in enumerate(given):
        if not isinstance(item, str):
            raise invalid_field(
                f"input[{index}]",
                f"a text is needed, not {type(item).__name__}; ids of another tokenizer's tokens mean nothing here",
                code="token_ids_not_supported",
                hint="In LangChain's OpenAIEmbeddings set check_embedding_ctx_length=False.",
            )
    check_texts(given, limits, path="input")
    return given


def _encode(found: Embeddings, data: JSONBody[EmbeddingsRequest]) -> bytes:
    """The answer's bytes: a head, the vectors one by one, a tail."""
    vectors = found.vectors
    if data.dimensions is not None:
        width = vectors.shape[1]
        if data.dimensions > width:
            raise invalid_field("dimensions", f"{data.dimensions} is more than the {width} that {data.model} gives")
        vectors = vectors[:, : data.dimensions]
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
    vectors = np.ascontiguousarray(vectors, dtype="<f4")
    if data.encoding_format == "base64":
        encoded = [b'"%b"' % base64.b64encode(row) for row in vectors]
    else:
        encoded = [_encoder.encode(row) for row in vectors.tolist()]
    items = b",".join(
        b'{"object":"embedding","index":%d,"embedding":%b}' % (index, vector) for index, vector in enumerate(encoded)
    )
    model = _encoder.encode(data.model)
    tokens = found.origin.tokens
    tail = b'],"model":%b,"usage":{"prompt_tokens":%d,"total_tokens":%d}}' % (model, tokens, tokens)
    return b'{"object":"list","data":[' + items + tail


_encoder = msgspec.json.Encoder()
