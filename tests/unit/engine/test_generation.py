"""Generation through a runner that a plugin brings."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from parlance.errors import DeadlineExceeded, ModelError, ValidationFailed
from parlance.tasks import GenerateOptions, Message, Piece


class Parrot:
    """Says the last message word by word."""

    def __init__(self) -> None:
        self.stopped = threading.Event()

    def unavailable(self) -> str | None:
        return None

    def precisions(self) -> tuple[str, ...]:
        return ()

    def load(self, artefact: Any, **_: Any) -> Any:
        raise ModelError("generates only")

    def load_generator(self, artefact: Any, *, threads: int) -> Parrot:
        return self

    def pieces(self, messages: Any, options: GenerateOptions, cancelled: threading.Event) -> Any:
        words = messages[-1].content.split()
        if words[0] == "wait":
            cancelled.wait(10)
            self.stopped.set()
            return
        if words[0] == "break":
            raise RuntimeError("broken")
        for word in words:
            yield Piece(text=word)
        yield Piece(text="", finish_reason="stop", completion_tokens=len(words))

    def close(self) -> None:
        pass


async def say(engine: Any, text: str, **options: Any) -> list[Piece]:
    messages = [Message("user", text)]
    return [piece async for piece in engine.generate(messages, model="generate", options=GenerateOptions(**options))]


async def test_pieces_come_in_order_and_the_last_one_says_why_it_ended(bench: Any) -> None:
    async with bench() as b:
        b.engine._generation._runners = {"parrot": Parrot()}
        pieces = await say(b.engine, "你好 my friend")
        assert [piece.text for piece in pieces] == ["你好", "my", "friend", ""]
        assert pieces[-1].finish_reason == "stop"


async def test_a_generator_that_is_late_or_breaks_is_an_error_and_is_stopped(bench: Any) -> None:
    async with bench() as b:
        parrot = Parrot()
        b.engine._generation._runners = {"parrot": parrot}
        with pytest.raises(DeadlineExceeded):
            await say(b.engine, "wait", deadline_s=0.02)
        assert parrot.stopped.wait(5)
        with pytest.raises(ModelError, match="broken"):
            await say(b.engine, "break")


async def test_without_a_generating_runner_or_with_another_task_the_error_says_so(bench: Any) -> None:
    async with bench() as b:
        with pytest.raises(ModelError) as caught:
            await say(b.engine, "hello")
        assert caught.value.code == "no_generator"
        with pytest.raises(ValidationFailed) as wrong:
            [piece async for piece in b.engine.generate([Message("user", "a")], model="embed")]
        assert wrong.value.code == "wrong_task"
        with pytest.raises(ValidationFailed):
            await say(b.engine, "  ")
        with pytest.raises(ValidationFailed):
            [piece async for piece in b.engine.generate([], model="generate")]
