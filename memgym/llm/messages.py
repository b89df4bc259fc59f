"""What goes to a language model and what comes back: messages in, a completion with its usage out."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, Literal, Self

from memgym.llm.errors import LLMError
from memgym.llm.usage import Usage

__all__ = ["ChatMessage", "Client", "Completion", "LLMRequest", "OnAnswer", "ToolCall"]

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that a model asks for.

    Attributes:
        id: by which the tool's answer refers to it.
        name: of the tool.
        arguments: JSON as the model wrote it, not checked.
    """

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a chat.

    Attributes:
        role: ``"system"`` holds instructions; anything that comes from a dialogue or a memory is ``"user"``.
        content: its text.
        tool_calls: what an assistant's message asked for.
        tool_call_id: in a tool's message, the call that it answers.
    """

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


@dataclass(frozen=True)
class LLMRequest:
    """One question to a model, with every setting that its answer depends on.

    Attributes:
        messages: the chat so far.
        max_tokens: bound on the completion.
        temperature: 0 for the likeliest answer.
        seed: for sampling; a server may ignore it.
        schema: JSON schema that the answer should fit, where the backend can see to it.
        tools: tools in OpenAI's form that the model may call.
        step: what the question is for; for the accounts, not a setting.
    """

    messages: tuple[ChatMessage, ...]
    max_tokens: int = 512
    temperature: float = 0.0
    seed: int = 0
    schema: Mapping[str, Any] | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    step: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON-like values, without the label."""
        values = {
            name: getattr(self, name) for name in ("max_tokens", "temperature", "seed", "schema", "tools")
        }
        return {"messages": [asdict(message) for message in self.messages], **values}

    def digest(self, model: str) -> str:
        """Sha256 of the model's name, the messages and the settings."""
        value = {"model": model, **self.to_dict()}
        return sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @cached_property
    def nchars(self) -> int:
        """Characters of the prompt."""
        return sum(len(message.content) for message in self.messages) + len(json.dumps(self.tools))


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model answered.

    Attributes:
        text: the answer; ``""`` where it only calls tools.
        usage: what it cost.
        model: name of the model that answered.
        finish: why it ended: ``"length"`` where the bound on tokens cut it.
        tool_calls: calls that it asks for.
    """

    text: str
    usage: Usage
    model: str
    finish: Literal["stop", "length", "tool_calls"] = "stop"
    tool_calls: tuple[ToolCall, ...] = ()


OnAnswer = Callable[[int, Completion | LLMError], None]


class Client(ABC):
    """Something that answers requests: a server, a local model, a recording.

    Attributes:
        model: name of the model, for cards and for digests.
        reserved: strings with a meaning of their own to this model; data must not hold them.
    """

    model: str
    reserved: tuple[str, ...] = ()

    @abstractmethod
    def complete_many(
        self, requests: Sequence[LLMRequest], on_answer: OnAnswer | None = None
    ) -> list[Completion | LLMError]:
        """Answer each request; an error stands in the place of its answer, so that no other answer is lost.

        Args:
            requests: what to answer, in any order and number at a time.
            on_answer: called with the index of a request and its outcome as soon as that is there, from any thread.
        """

    def complete(self, request: LLMRequest) -> Completion:
        """Answer one request.

        Raises:
            LLMError: there is no answer.
        """
        (outcome,) = self.complete_many([request])
        if isinstance(outcome, LLMError):
            raise outcome
        return outcome

    def close(self) -> None:  # noqa: B027 - most clients hold nothing open
        """Let go of connections."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
