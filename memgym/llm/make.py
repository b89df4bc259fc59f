"""A backend by a short text, for command lines, cards and the settings of agents."""

import os
from collections.abc import Mapping
from typing import Any, Literal

from memgym.errors import UnknownName
from memgym.llm.backends import LLM, ModelLLM, RulesLLM, StepRouter
from memgym.llm.cassette import Cassette
from memgym.llm.local import LocalClient
from memgym.llm.messages import Client
from memgym.llm.openai_client import OpenAIClient

__all__ = ["make_client", "make_llm"]

FORMS = "'rules', 'openai:MODEL', 'openai:MODEL@URL', 'local:FOLDER_OR_ID' or 'replay:FILE'"
GO_ON = " or fallback"  # after a text: a step that fails counts, and the run goes on


def make_client(spec: str, **options: Any) -> Client:
    """The client that a text names.

    Args:
        spec: ``"openai:MODEL"`` (at ``$OPENAI_BASE_URL``), ``"openai:MODEL@URL"``, ``"local:FOLDER_OR_ID"`` or
            ``"replay:FILE"``.
        options: further arguments of the client.

    Raises:
        UnknownName: the text is none of these.
    """
    kind, _, name = spec.partition(":")
    if kind == "openai" and name:
        model, _, url = name.partition("@http")
        return OpenAIClient(model, base_url=f"http{url}" if url else None, **options)
    if kind == "local" and name:
        return LocalClient(name, **options)
    if kind == "replay" and name:
        return Cassette(name, **options)
    raise UnknownName(f"a language model is named by {FORMS}, not {spec!r}.")


def make_llm(
    spec: str | Mapping[str, str] | LLM,
    *,
    on_failure: Literal["raise", "fallback"] = "raise",
    record: str | os.PathLike[str] | None = None,
    **options: Any,
) -> LLM:
    """The backend that a text names: ``"rules"``, or a model as in `make_client`.

    Args:
        spec: the text; a mapping from steps to texts, with ``"default"`` for the other steps; or a backend, which is
            returned as it is. A text that ends in ``" or fallback"``, as ``"openai:MODEL or fallback"``, is of one
            that goes on after failures.
        on_failure: of `ModelLLM`, for texts that do not say it.
        record: file of a `Cassette` in which what models answer is recorded, and from which it is taken where it
            is there already.
        options: further arguments of the clients.

    Raises:
        UnknownName: the text is none of these.
    """
    if isinstance(spec, LLM):
        return spec
    if isinstance(spec, Mapping):
        made = {
            name: make_llm(one, on_failure=on_failure, record=record, **options) for name, one in spec.items()
        }
        default = made.pop("default", None)
        return StepRouter(made, default)
    if spec.endswith(GO_ON):
        spec, on_failure = spec.removesuffix(GO_ON), "fallback"
    if spec == "rules":
        return RulesLLM()
    client = make_client(spec, **options)
    if record is not None:
        client = Cassette(record, client)
    return ModelLLM(client, on_failure=on_failure)
