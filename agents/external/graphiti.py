"""Graphiti as it is released: a bitemporal graph of facts in an embedded Kuzu database in memory.

The package is `graphiti-core <https://github.com/getzep/graphiti>`_; its rendition is
`memgym.agents.structured.graphiti`. For each message a language model extracts entities and facts and compares them
with those of the graph; a fact that contradicts another ends it. Written for release 0.31, which still embeds Kuzu:
Graphiti calls that backend deprecated, and its others (Neo4j, FalkorDB, Neptune) are servers.
"""

import asyncio
import json
import os
import re
import warnings
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from memgym.agents.external.model import DEFAULT_LLM, PackageModel, StableIds
from memgym.agents.external.store import Memory, PackageStore, external, in_order
from memgym.agents.policy_agent import PolicyAgent
from memgym.errors import DependencyMissing
from memgym.llm import ChatMessage, Client, LLMOutputInvalid
from memgym.memory.embed import Embedder, make_embedder
from memgym.memory.policy import Message

__all__ = ["GraphitiStore", "graphiti_package"]

HITS = 10  # as Graphiti's search
FOUND = 50  # before facts that are over are left out
EPISODES = 10  # messages that an extraction reads; older ones are deleted
MAX_TOKENS = 4096  # of an answer
RECORD_NBYTES = 16 + 5 * 8  # of a fact, entity or message beside its texts and vector: id and times
# in Kuzu's full-text queries: with one of them, no word of a question is found
WILDCARDS = re.compile(r"[?*]")
NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)
FACTS = "MATCH (f:RelatesToNode_) RETURN f.uuid AS id, f.name AS name, f.fact AS fact, f.valid_at AS since, "
FACTS += "f.invalid_at AS until"
ENTITIES = "MATCH (e:Entity) RETURN e.name AS name, e.summary AS summary"
MESSAGES = (
    "MATCH (m:Episodic) RETURN m.uuid AS id, m.content AS content, m.valid_at AS time ORDER BY time DESC"
)
LONELY = "MATCH (e:Entity) WHERE NOT EXISTS { MATCH (e)-[:RELATES_TO]-() } DETACH DELETE e"


def _package() -> Any:
    """The package's parts, without telemetry.

    Raises:
        DependencyMissing: it is not installed.
    """
    os.environ["GRAPHITI_TELEMETRY_ENABLED"] = "False"  # read whenever a graph is made
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it has settings in a form that pydantic calls deprecated
            import graphiti_core  # pyright: ignore[reportMissingImports]
            import graphiti_core.driver.kuzu_driver  # pyright: ignore[reportMissingImports]
            import kuzu  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise DependencyMissing.for_extra(
            "graphiti-core", "graphiti", "the graphiti package as an agent"
        ) from None
    return graphiti_core


def _clients(model: PackageModel, embedder: Embedder) -> dict[str, Any]:
    """Graphiti's interfaces of a language model, an embedder and a reranker, which the search does not use."""
    from graphiti_core.cross_encoder.client import CrossEncoderClient  # pyright: ignore[reportMissingImports]
    from graphiti_core.embedder.client import EmbedderClient  # pyright: ignore[reportMissingImports]
    from graphiti_core.llm_client.client import LLMClient  # pyright: ignore[reportMissingImports]

    ids = StableIds()

    class Model(LLMClient):  # pyright: ignore[reportGeneralTypeIssues]
        async def _generate_response(
            self, messages: Sequence[Any], response_model: Any = None, *_: Any, **__: Any
        ) -> dict[str, Any]:
            step, schema = "graphiti", None
            if response_model is not None:
                step, schema = response_model.__name__, response_model.model_json_schema()
            asked = [
                ChatMessage("system" if one.role == "system" else "user", ids.hide(one.content))
                for one in messages
            ]
            text = ids.show(model.ask(step, asked, schema=schema).text)
            try:
                return json.loads(text)
            except ValueError as error:
                raise model.failed(LLMOutputInvalid(f"{step}: the answer is no JSON: {error}.")) from None

    class Vectors(EmbedderClient):  # pyright: ignore[reportGeneralTypeIssues]
        async def create(self, input_data: Any) -> list[float]:
            text = input_data if isinstance(input_data, str) else input_data[0]
            return embedder.embed([text])[0].tolist()

        async def create_batch(self, input_data_list: list[str]) -> list[list[float]]:
            return embedder.embed(input_data_list).tolist()

    class NoReranker(CrossEncoderClient):  # pyright: ignore[reportGeneralTypeIssues]
        async def rank(self, query: str, passages: list[str]) -> list[tuple[str, float]]:
            raise NotImplementedError

    return {"llm_client": Model(None), "embedder": Vectors(), "cross_encoder": NoReranker()}


class GraphitiStore(PackageStore):
    """A `graphiti_core.Graphiti` over a Kuzu database in memory; its facts are the memories.

    Args:
        model: carries out all of Graphiti's prompts.
        embedder: makes the vectors of facts and names.
    """

    def __init__(self, model: PackageModel, embedder: Embedder) -> None:
        package = _package()
        import kuzu  # pyright: ignore[reportMissingImports]
        from graphiti_core.driver.driver import GraphProvider  # pyright: ignore[reportMissingImports]
        from graphiti_core.graph_queries import get_fulltext_indices  # pyright: ignore[reportMissingImports]

        self._dim = len(embedder.embed([""])[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that Kuzu is deprecated
            driver = package.driver.kuzu_driver.KuzuDriver()
        # one thread: several give rows in an order of their own
        driver.client = kuzu.AsyncConnection(driver.db, max_concurrent_queries=1, max_threads_per_query=1)
        self.driver = driver
        self.graph = package.Graphiti(graph_driver=driver, max_coroutines=1, **_clients(model, embedder))
        for query in get_fulltext_indices(GraphProvider.KUZU):  # which this driver leaves to its user
            self._query(query)
        self._times: dict[str, str] = {}  # of each fact, the oldest first: when it was told

    def add(self, message: Message) -> None:
        """One episode."""
        done = _run(
            self.graph.add_episode(
                name="message",
                episode_body=message.said,
                source_description="conversation",
                reference_time=_time(message),
            )
        )
        for edge in done.edges:
            self._times.setdefault(edge.uuid, message.time)
        for row in self._query(MESSAGES)[EPISODES:]:
            self._query("MATCH (m:Episodic {uuid: $id}) DETACH DELETE m", id=row["id"])

    def memories(self) -> Mapping[str, Memory]:
        """Facts, each with the time when it was told, and from when and until when it holds where that is known."""
        there = {row["id"]: row for row in self._query(FACTS)}
        return {id: self._memory(id, there[id]) for id in in_order(self._times, there)}

    def search(self, question: Message) -> Sequence[str]:
        """By words and vectors, fused by reciprocal rank; what does not hold any more is left out."""
        edges = _run(self.graph.search(WILDCARDS.sub(" ", question.text), num_results=FOUND))
        asked = _time(question) if question.time else None
        return [edge.uuid for edge in edges if _holds(edge.invalid_at, asked)][:HITS]

    def delete(self, id: str) -> None:
        """With the entities that have no other fact; a summary of another may still say it."""
        self._query("MATCH (f:RelatesToNode_ {uuid: $id}) DETACH DELETE f", id=id)
        self._query(LONELY)
        self._times.pop(id, None)

    def nbytes(self) -> int:
        """Vectors and names of facts and entities, summaries, and the recent messages."""
        facts, entities, messages = (self._query(query) for query in (FACTS, ENTITIES, MESSAGES))
        texts = [row["name"] for row in facts] + [row["content"] for row in messages]
        texts += [text for row in entities for text in (row["name"], row["summary"])]
        vectors = 4 * self._dim * (len(facts) + len(entities))
        records = RECORD_NBYTES * (len(facts) + len(entities) + len(messages))
        return vectors + records + sum(len((text or "").encode()) for text in texts)

    def _memory(self, id: str, row: Mapping[str, Any]) -> Memory:
        attrs = {
            "time": self._times.get(id, ""),
            "valid_from": _text(row["since"]),
            "valid_to": _text(row["until"]),
        }
        if attrs["valid_from"] == attrs["time"]:
            del attrs["valid_from"]
        return Memory(row["fact"], {name: value for name, value in attrs.items() if value})

    def _query(self, query: str, **values: Any) -> list[dict[str, Any]]:
        return _run(self.driver.execute_query(query, **values))[0]


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    with ThreadPoolExecutor(1) as thread:  # the caller's may have a loop of its own, as in a notebook
        return thread.submit(asyncio.run, work).result()


def _time(message: Message) -> datetime:
    try:
        time = datetime.fromisoformat(message.time)
    except ValueError:
        return NO_TIME
    return _aware(time)


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _text(time: datetime | None) -> str:
    return "" if time is None else time.isoformat(timespec="minutes")[:16]


def _holds(until: datetime | None, asked: datetime | None) -> bool:
    if until is None:
        return True
    return asked is not None and _aware(until) > asked


def graphiti_package(llm: str | Client = DEFAULT_LLM, embedder: str = "hashing-256") -> PolicyAgent:
    """The package Graphiti, over the environment's bank.

    Args:
        llm: who answers its prompts, as `memgym.llm.make_client` names it; by default a model at
            ``$OPENAI_BASE_URL``.
        embedder: as in `memgym.memory.embed.make_embedder`.

    Raises:
        DependencyMissing: graphiti-core or kuzu is not installed.
    """
    _package()
    vectors = make_embedder(embedder)
    model = PackageModel(llm, MAX_TOKENS)
    return external(
        "graphiti-package",
        lambda model: GraphitiStore(model, vectors),
        model=model,
        llm=llm,
        packages=("graphiti-core", "kuzu"),
        description="The package Graphiti: facts as edges of a graph that knows when each held.",
        url="https://github.com/getzep/graphiti",
        deviations="Only facts are entries; summaries of entities count as bytes, answer nothing, and may keep words "
        "of a deleted fact. Messages older than the ten that an extraction reads are deleted. Facts that are over "
        "when a question is asked are left out of its hits. Kuzu takes ? and * for wildcards, so they are taken out "
        "of questions. The database is an embedded Kuzu, the temperature 0.",
        licence="Apache-2.0",
        extra={"embedder": vectors.name, "rerunnable": True},
        embedder=embedder,
    )
