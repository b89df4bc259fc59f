"""mem0 as it is released: the package `mem0ai <https://github.com/mem0ai/mem0>`_, all of it in memory.

Its rendition is `memgym.agents.structured.mem0`, variant ``"v2"``. Written for release 2, which asks a language
model once for each message, and only adds facts.
"""

import json
import logging
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import Any

from memgym.agents.external.model import DEFAULT_LLM, PackageModel
from memgym.agents.external.store import Memory, PackageStore, PackageUnusable, external, in_order
from memgym.agents.policy_agent import PolicyAgent
from memgym.errors import DependencyMissing
from memgym.llm import ChatMessage, Client
from memgym.memory.embed import Embedder, make_embedder
from memgym.memory.policy import Message

__all__ = ["Mem0Store", "mem0_package"]

SCOPE = {"user_id": "conversation"}  # one memory for all that is said
EVERYTHING = 1_000_000
MAX_TOKENS = 2000  # of an answer, as mem0's default
DATES = re.compile(r"## Observation Date\n[^\n]*\n\n## Current Date\n[^\n]*")
UNKNOWN_DATE = "unknown"
CHATTY = ("mem0.vector_stores.qdrant", "mem0.utils.spacy_models")  # say with each store what is not installed


def _package() -> Any:
    """The package, without telemetry and without a folder in the user's home.

    Raises:
        DependencyMissing: it is not installed.
        PackageUnusable: it was imported before with its telemetry on, or would download a model while it is used.
    """
    os.environ["MEM0_TELEMETRY"] = "False"  # read when the package is imported, like the folder that it makes
    before = os.environ.get("MEM0_DIR")
    with TemporaryDirectory() as folder:
        os.environ["MEM0_DIR"] = folder
        try:
            import mem0  # pyright: ignore[reportMissingImports]
            from mem0.memory import telemetry  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise DependencyMissing.for_extra("mem0ai", "mem0", "the mem0 package as an agent") from None
        finally:
            del os.environ["MEM0_DIR"]
            if before is not None:
                os.environ["MEM0_DIR"] = before
    for name in CHATTY:  # the card says it once
        logging.getLogger(name).setLevel(logging.ERROR)
    if telemetry.MEM0_TELEMETRY:
        raise PackageUnusable(
            "mem0 was imported with its telemetry on: set MEM0_TELEMETRY=False before that."
        )
    if find_spec("spacy") and not find_spec("en_core_web_sm"):
        raise PackageUnusable(
            "mem0 would download spaCy's model in the middle of a run: python -m spacy download en_core_web_sm"
        )
    return mem0


class _Model:
    """mem0's interface of a language model."""

    def __init__(self, model: PackageModel) -> None:
        self.model, self.date = model, UNKNOWN_DATE

    def generate_response(self, messages: Sequence[Mapping[str, str]], **_: Any) -> str:
        asked = [ChatMessage("system" if m["role"] == "system" else "user", m["content"]) for m in messages]
        dates = list(DATES.finditer(asked[-1].content))
        if not dates:
            raise PackageUnusable("mem0's prompt has no dates where release 2.2 has them: use mem0ai 2.2.")
        before, after = asked[-1].content[: dates[-1].start()], asked[-1].content[dates[-1].end() :]
        dated = f"## Observation Date\n{self.date}\n\n## Current Date\n{self.date}"
        asked[-1] = ChatMessage("user", before + dated + after)
        return self.model.ask("mem0", asked).text


class _Embedder:
    """mem0's interface of an embedder."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder

    def embed(self, text: str, memory_action: Any = None) -> list[float]:
        return self.embedder.embed([text])[0].tolist()

    def embed_batch(self, texts: Sequence[str], memory_action: Any = None) -> list[list[float]]:
        return self.embedder.embed(list(texts)).tolist()


class Mem0Store(PackageStore):
    """A `mem0.Memory` with vectors in memory (Qdrant's local mode) and an SQLite database in memory.

    The clock is the conversation's: what mem0's prompt calls the observation date and the current date is the date
    of the message.

    Args:
        model: carries out the extraction.
        embedder: makes the vectors of memories and names.
    """

    def __init__(self, model: PackageModel, embedder: Embedder) -> None:
        package = _package()
        from qdrant_client import QdrantClient  # pyright: ignore[reportMissingImports]

        self._dim = len(embedder.embed([""])[0])
        unused = {"provider": "openai", "config": {"api_key": "unused"}}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # payload indices have no effect in local mode
            self.memory = package.Memory.from_config(
                {
                    "vector_store": {
                        "provider": "qdrant",
                        "config": {"client": QdrantClient(":memory:"), "embedding_model_dims": self._dim},
                    },
                    "llm": unused,
                    "embedder": unused,
                    "history_db_path": ":memory:",
                }
            )
            self._model = self.memory.llm = _Model(model)
            self.memory.embedding_model = _Embedder(embedder)
            self.names = self.memory.entity_store
        self._oldest_first: dict[str, None] = {}

    def add(self, message: Message) -> None:
        """One extraction."""
        self._model.date = message.time[:10] or UNKNOWN_DATE
        metadata = {"created_at": message.time or UNKNOWN_DATE}
        done = self.memory.add([{"role": "user", "content": message.said}], metadata=metadata, **SCOPE)
        self._oldest_first |= dict.fromkeys(str(one["id"]) for one in done["results"])

    def memories(self) -> Mapping[str, Memory]:
        """Texts, each with the time of the message that it is from."""
        rows = self.memory.get_all(filters=SCOPE, top_k=EVERYTHING)["results"]
        there = {str(row["id"]): row for row in rows}
        return {id: _memory(there[id]) for id in in_order(self._oldest_first, there)}

    def search(self, question: Message) -> Sequence[str]:
        """The best 20: by vectors, and by words and names where mem0 has the means."""
        return [str(row["id"]) for row in self.memory.search(question.text, filters=SCOPE)["results"]]

    def delete(self, id: str) -> None:
        """From the vectors and the names; mem0's history of changes keeps it."""
        self.memory.delete(id)
        self._oldest_first.pop(id, None)

    def nbytes(self) -> int:
        """Vectors and payloads of memories and names, the recent messages, and the history of changes."""
        payloads = [row.payload for row in _rows(self.memory.vector_store)]
        names = [row.payload for row in _rows(self.names)]
        beside = [{name: value for name, value in one.items() if name != "data"} for one in payloads]
        kept = sum(len(json.dumps(one, ensure_ascii=False).encode()) for one in [*beside, *names])
        texts = "SELECT role, content FROM messages UNION ALL SELECT old_memory, new_memory FROM history"
        logged = sum(len((text or "").encode()) for row in self._database(texts) for text in row)
        return 4 * self._dim * (len(payloads) + len(names)) + kept + logged

    def _database(self, query: str) -> list[tuple[Any, ...]]:
        return self.memory.db.connection.execute(query).fetchall()

    def means(self) -> dict[str, bool]:
        """What its search goes by, as far as what mem0 needs for it is installed."""
        return {
            "vectors": True,
            "words": self.memory.vector_store._get_bm25_encoder() is not None,
            "names": find_spec("spacy") is not None,
        }


def _rows(store: Any) -> list[Any]:
    return store.list(filters=SCOPE, top_k=EVERYTHING)[0]


def _memory(row: Mapping[str, Any]) -> Memory:
    time = row["created_at"]
    return Memory(row["memory"], {"time": time} if time != UNKNOWN_DATE else {})


def mem0_package(llm: str | Client = DEFAULT_LLM, embedder: str = "hashing-256") -> PolicyAgent:
    """The package mem0, over the environment's bank.

    Args:
        llm: who extracts, as `memgym.llm.make_client` names it; by default a model at ``$OPENAI_BASE_URL``.
        embedder: as in `memgym.memory.embed.make_embedder`.

    Raises:
        DependencyMissing: mem0ai is not installed.
        PackageUnusable: see `PackageUnusable`; the message says what to do.
    """
    _package()
    vectors = make_embedder(embedder)
    model = PackageModel(llm, MAX_TOKENS, {"response_format": {"type": "json_object"}})
    return external(
        "mem0-package",
        lambda model: Mem0Store(model, vectors),
        model=model,
        llm=llm,
        packages=("mem0ai", "qdrant-client"),
        description="The package mem0: extracts facts by one call a message, only adds them, and searches them.",
        url="https://github.com/mem0ai/mem0",
        deviations="All speakers share one memory; a message is the user's, with its speaker in front. The clock "
        "is the conversation's, the temperature 0. Its log of changes counts as memory and keeps what is deleted.",
        licence="Apache-2.0",
        extra={"search": Mem0Store(model, vectors).means(), "embedder": vectors.name, "rerunnable": True},
        embedder=embedder,
    )
