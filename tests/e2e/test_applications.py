"""The three applications answer over HTTP on real models, in English and in Chinese."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest

from processes import Server

pytestmark = [pytest.mark.models, pytest.mark.xdist_group("e2e")]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Acme's quarterly profit rose 40 percent and beat every forecast.", "positive"),
        ("The lender warned of heavy losses after the fraud was discovered.", "negative"),
        ("公司第三季度净利润同比大幅增长,创历史新高。", "positive"),
        ("该公司债券违约,股价暴跌,投资者损失惨重。", "negative"),
    ],
)
def test_financial_text_is_labelled(server: Server, text: str, label: str) -> None:
    """A plain gain or loss is recognised in both languages, and stored."""
    answer = server.request("POST", "/sentiment/documents", {"text": text, "companies": ["E2E"], "source": "test"})
    assert answer.status == 200, answer.body
    document = answer.json["documents"][0]
    assert document["label"] == label
    assert sum(document["probabilities"].values()) == pytest.approx(1.0, abs=1e-3)
    assert server.request("GET", f"/sentiment/documents/{document['id']}").json["label"] == label


def test_trend_of_the_demonstration_data(server: Server) -> None:
    """The demonstration headlines are counted in buckets."""
    answer = server.request("GET", "/sentiment/trends?key=all&bucket=day")
    assert answer.status == 200
    assert answer.json["series"][0]["totals"]["documents"] > 50


@pytest.mark.parametrize("message", ["How do I return an item I bought?", "我想退货,应该怎么办?"])
def test_customers_question_is_answered_from_the_knowledge_base(server: Server, message: str) -> None:
    """Rasa's REST channel gives the best entry in the customer's language, with a citation."""
    answer = server.request("POST", "/webhooks/rest/webhook", {"sender": "customer-1", "message": message})
    assert answer.status == 200, answer.body
    (reply, *_) = answer.json
    assert reply["recipient_id"] == "customer-1"
    assert ("退" in reply["text"]) if message[0] == "我" else ("return" in reply["text"].lower())


@pytest.mark.parametrize("message", ["What is the capital of Mongolia?", "推荐一部好看的科幻电影"])
def test_unknown_question_is_admitted(server: Server, message: str) -> None:
    """A question that no entry fits gets an honest fallback."""
    answer = server.request("POST", "/support/conversations/e2e-unknown/messages", {"text": message})
    assert answer.status in (200, 201), answer.body
    assert answer.json["answerable"] is False


def test_candidates_are_ranked_with_reasons(server: Server) -> None:
    """Ranking gives every candidate once, best first, and says why."""
    items = [{"id": "hike-shoes"}, {"id": "tea-puer"}]
    body = {"id": "r1", "timestamp": "1767225600000", "user": "chen", "items": items}
    answer = server.request("POST", "/rank/default?explain=true", body)
    assert answer.status == 200, answer.body
    ranked = answer.json["items"]
    assert {entry["item"] for entry in ranked} == {"hike-shoes", "tea-puer"}
    assert ranked[0]["score"] >= ranked[1]["score"]
    assert ranked[0]["features"]


@pytest.mark.parametrize("model", ["embed-en", "embed-multi"])
def test_embeddings_are_unit_vectors(server: Server, model: str) -> None:
    """OpenAI's route gives base64 float32 vectors of unit length, near for near meanings."""
    texts = ["My card was charged twice", "I see a duplicate payment", "The weather is nice"]
    body = {"model": model, "input": texts, "encoding_format": "base64"}
    answer = server.request("POST", "/v1/embeddings", body)
    assert answer.status == 200, answer.body
    rows = [np.frombuffer(base64.b64decode(row["embedding"]), "<f4") for row in answer.json["data"]]
    vectors = np.stack(rows)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


def test_serving_process_holds_no_torch(server: Server) -> None:
    """Neither torch nor transformers is loaded by a server whose models are ONNX."""
    assert server.process is not None
    text = Path(f"/proc/{server.process.pid}/maps").read_text(encoding="utf-8")
    assert "libtorch" not in text
    assert "/transformers/" not in text


def test_documentation_needs_no_network(server: Server) -> None:
    """The OpenAPI page and its assets come from the server itself."""
    page = server.request("GET", "/docs")
    assert page.status == 200
    assert b"http://" not in page.body.replace(b"http://www.w3.org", b"")
    assert b"https://" not in page.body
    assert server.request("GET", "/docs/assets/swagger-ui-bundle.js").status == 200
