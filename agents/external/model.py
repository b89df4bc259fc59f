"""The language model that a package asks: a client of memgym's, so that calls are bounded, counted and recorded."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from memgym.llm import ChatMessage, Client, Completion, Ledger, LLMError, LLMRequest
from memgym.llm.make import make_client

__all__ = ["DEFAULT_LLM", "PackageModel", "StableIds"]

DEFAULT_LLM = "openai:gpt-4.1-mini"
HEX = "[0-9a-f]"
ANY_UUID = re.compile(rf"(?<!{HEX}){HEX}{{8}}(-?){HEX}{{4}}\1{HEX}{{4}}\1{HEX}{{4}}\1{HEX}{{12}}(?!{HEX})")


class PackageModel:
    """Answers a package's prompts and keeps accounts.

    Packages catch what their model raises, and then look as if nothing had been worth keeping; `check` raises it
    again.

    Args:
        llm: as `memgym.llm.make_client` names it, or a client, e.g. a `memgym.llm.Cassette`.
        max_tokens: bound on an answer.
        body: what the package puts into the body of its requests, for a server named by ``"openai:..."``.

    Attributes:
        client: who answers.
        ledger: usage since it was made.
    """

    def __init__(self, llm: str | Client, max_tokens: int, body: Mapping[str, Any] | None = None) -> None:
        if isinstance(llm, Client):
            self.client = llm
        else:
            more = {"extra": body} if llm.startswith("openai:") else {}
            self.client = make_client(llm, **more)
        self.max_tokens = max_tokens
        self.ledger = Ledger()
        self._failure: LLMError | None = None

    def ask(
        self,
        step: str,
        messages: Sequence[ChatMessage],
        *,
        schema: Mapping[str, Any] | None = None,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> Completion:
        """Answer one request at temperature 0.

        Args:
            step: what it is for, for the accounts.
            messages: as the package wrote them.
            schema: JSON schema of the answer.
            tools: in OpenAI's form.

        Raises:
            LLMError: there is no answer.
        """
        request = LLMRequest(
            tuple(messages), max_tokens=self.max_tokens, schema=schema, tools=tuple(tools), step=step
        )
        try:
            done = self.client.complete(request)
        except LLMError as error:
            self.ledger.add(step, error.usage)
            raise self.failed(error) from None
        self.ledger.add(step, done.usage)
        return done

    def failed(self, error: LLMError) -> LLMError:
        """Keep an error for `check`, and return it."""
        self._failure = error
        return error

    def check(self) -> None:
        """Raise what a package has caught.

        Raises:
            LLMError: a request since the last check had no answer.
        """
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure


class StableIds:
    """Other UUIDs in the place of a package's random ones, so that a prompt is the same in every run.

    The n-th that is seen gets the n-th name, in the same form; one object serves one episode.
    """

    def __init__(self) -> None:
        self._stable: dict[UUID, UUID] = {}
        self._own: dict[UUID, UUID] = {}

    def hide(self, text: str) -> str:
        """What the package wrote, as the model sees it."""
        return ANY_UUID.sub(lambda match: _like(match, self._name(UUID(match[0]))), text)

    def show(self, text: str) -> str:
        """What the model wrote, as the package sees it; ids that were never shown stay as they are."""
        return ANY_UUID.sub(lambda match: _like(match, self._own.get(UUID(match[0]), UUID(match[0]))), text)

    def _name(self, own: UUID) -> UUID:
        if own not in self._stable:
            name = uuid5(NAMESPACE_OID, f"memgym {len(self._stable)}")
            self._stable[own], self._own[name] = name, own
        return self._stable[own]


def _like(match: re.Match[str], id: UUID) -> str:
    """An id with hyphens where the match has them."""
    return str(id) if match[1] else id.hex
