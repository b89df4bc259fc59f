"""LangMem as it is released: its memory store manager over LangGraph's store, all of it in memory.

The package is `langmem <https://github.com/langchain-ai/langmem>`_. For each message one call of a language model,
with the memories that LangMem's own search finds, inserts, patches and, where it may, removes memories by tools.
"""

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from memgym.agents.external.model import DEFAULT_LLM, PackageModel, StableIds
from memgym.agents.external.store import Memory, PackageStore, external
from memgym.agents.policy_agent import PolicyAgent
from memgym.errors import DependencyMissing
from memgym.llm import ChatMessage, Client, ToolCall
from memgym.memory.embed import Embedder, make_embedder
from memgym.memory.policy import Message

__all__ = ["LangMemStore", "langmem_package"]

NAMESPACE = ("memories",)
EVERYTHING = 1_000_000
HITS = 10  # as LangMem's search tool
MAX_TOKENS = 2000  # of an answer
RECORD_NBYTES = 36 + 2 * 32  # of a memory beside its text and vector: key, and two times
ROLES = {"system": "system", "ai": "assistant", "tool": "tool"}
SET_OF_IDS = re.compile(r"\('[0-9a-f]{32}'(?:, '[0-9a-f]{32}')+\)")  # as trustcall writes what may be removed
ONE_AFTER_ANOTHER: Any = {"max_concurrency": 1}  # so that memories are stored in the order of the calls


def _chat_model(model: PackageModel) -> Any:
    """LangChain's interface of a chat model.

    Raises:
        DependencyMissing: langmem is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own parts are deprecated by LangGraph's newer releases
            import langmem  # noqa: F401  # pyright: ignore[reportMissingImports]
            from langchain_core.language_models import BaseChatModel  # pyright: ignore[reportMissingImports]
            from langchain_core.messages import AIMessage  # pyright: ignore[reportMissingImports]
            from langchain_core.outputs import (  # pyright: ignore[reportMissingImports]
                ChatGeneration,
                ChatResult,
            )
            from langchain_core.utils.function_calling import (  # pyright: ignore[reportMissingImports]
                convert_to_openai_tool,
            )
    except ImportError:
        raise DependencyMissing.for_extra("langmem", "langmem", "the langmem package as an agent") from None

    ids = StableIds()

    class ChatModel(BaseChatModel):  # pyright: ignore[reportGeneralTypeIssues]
        @property
        def _llm_type(self) -> str:
            return "memgym"

        def bind_tools(self, tools: Sequence[Any], *, tool_choice: Any = None, **more: Any) -> Any:
            return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools])

        def _generate(
            self, messages: Sequence[Any], stop: Any = None, run_manager: Any = None, **bound: Any
        ) -> Any:
            asked = [_message(one, ids) for one in messages]
            tools = json.loads(SET_OF_IDS.sub(_in_order, ids.hide(json.dumps(bound.get("tools", [])))))
            done = model.ask("langmem", asked, tools=tools)
            calls, broken = [], []
            for call in done.tool_calls:
                one = {"id": call.id, "name": call.name, "args": ids.show(call.arguments)}
                try:
                    calls.append({**one, "args": json.loads(one["args"]), "type": "tool_call"})
                except ValueError as error:
                    broken.append({**one, "error": str(error), "type": "invalid_tool_call"})
            answer = AIMessage(content=ids.show(done.text), tool_calls=calls, invalid_tool_calls=broken)
            return ChatResult(generations=[ChatGeneration(message=answer)])

    return ChatModel()


def _in_order(match: re.Match[str]) -> str:
    return f"({', '.join(sorted(match[0][1:-1].split(', ')))})"


def _message(message: Any, ids: StableIds) -> ChatMessage:
    calls = tuple(
        ToolCall(call["id"] or "", call["name"], ids.hide(json.dumps(call["args"])))
        for call in getattr(message, "tool_calls", ())
    )
    role: Any = ROLES.get(message.type, "user")
    return ChatMessage(role, ids.hide(str(message.content)), calls, getattr(message, "tool_call_id", ""))


class LangMemStore(PackageStore):
    """A memory store manager over an `InMemoryStore` with vectors.

    Args:
        model: is asked for tool calls.
        embedder: makes the vectors of memories.
        deletes: whether memories may be removed, LangMem's ``enable_deletes``.
    """

    def __init__(self, model: PackageModel, embedder: Embedder, *, deletes: bool = True) -> None:
        chat = _chat_model(model)
        from langgraph.store.memory import InMemoryStore  # pyright: ignore[reportMissingImports]
        from langmem import create_memory_store_manager  # pyright: ignore[reportAttributeAccessIssue]
        from langsmith import tracing_context  # pyright: ignore[reportMissingImports]

        self._dim = len(embedder.embed([""])[0])
        self._untraced = tracing_context
        index: Any = {"embed": lambda texts: embedder.embed(list(texts)).tolist(), "dims": self._dim}
        self.store = InMemoryStore(index=index)
        self.manager = create_memory_store_manager(
            chat, namespace=NAMESPACE, store=self.store, enable_deletes=deletes
        )
        self._time = ""
        self._memories: dict[str, Memory] = {}

    def add(self, message: Message) -> None:
        """One extraction and consolidation."""
        said = {"messages": [{"role": "user", "content": message.said}]}
        with self._untraced(enabled=False):  # whatever the environment says
            self.manager.invoke(said, config=ONE_AFTER_ANOTHER)
        self._time = message.time

    def memories(self) -> Mapping[str, Memory]:
        """Texts, each with the time of the message that changed it last."""
        attrs = {"time": self._time} if self._time else {}
        found = {item.key: _text(item.value) for item in self.store.search(NAMESPACE, limit=EVERYTHING)}
        known = self._memories
        self._memories = {
            key: known[key] if key in known and known[key].text == text else Memory(text, attrs)
            for key, text in found.items()
        }
        return self._memories

    def search(self, question: Message) -> Sequence[str]:
        """The nearest by vectors."""
        return [item.key for item in self.store.search(NAMESPACE, query=question.text, limit=HITS)]

    def delete(self, id: str) -> None:
        """From the store, with its vector."""
        self.store.delete(NAMESPACE, id)

    def nbytes(self) -> int:
        """Vectors, keys and times."""
        return (4 * self._dim + RECORD_NBYTES) * len(self.store.search(NAMESPACE, limit=EVERYTHING))


def _text(value: Mapping[str, Any]) -> str:
    content = value["content"]
    return content["content"] if set(content) == {"content"} else json.dumps(content, ensure_ascii=False)


def langmem_package(
    llm: str | Client = DEFAULT_LLM, embedder: str = "hashing-256", deletes: bool = True
) -> PolicyAgent:
    """The package LangMem, over the environment's bank.

    Args:
        llm: who calls the tools, as `memgym.llm.make_client` names it; by default a model at ``$OPENAI_BASE_URL``.
        embedder: as in `memgym.memory.embed.make_embedder`.
        deletes: see `LangMemStore`.

    Raises:
        DependencyMissing: langmem is not installed.
    """
    vectors = make_embedder(embedder)
    model = PackageModel(llm, MAX_TOKENS)
    _chat_model(model)
    return external(
        "langmem-package",
        lambda model: LangMemStore(model, vectors, deletes=deletes),
        model=model,
        llm=llm,
        packages=("langmem", "langgraph", "trustcall"),
        description="The package LangMem: a model inserts, patches and removes memories by tools.",
        url="https://github.com/langchain-ai/langmem",
        deviations="All speakers share one namespace; a message is the user's, with its speaker in front. Nothing "
        "tells the model the time. It may call no tool where LangMem would force one. The temperature is 0."
        + (" Memories may be removed, which LangMem leaves off by default." if deletes else ""),
        licence="MIT",
        extra={"embedder": vectors.name, "rerunnable": True},
        embedder=embedder,
        deletes=deletes,
    )
