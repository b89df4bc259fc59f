"""Reference agents, by name.

>>> from memgym.agents import make_agent
>>> make_agent("random").card.kind
'reference'
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from memgym.errors import DependencyMissing
from memgym.registry import Registry

if TYPE_CHECKING:
    from memgym.agents.ppo import MemoryPPO

__all__ = ["AGENTS", "MemoryPPO", "make_agent", "maker_of"]

AGENTS = Registry(
    "agent",
    {
        "random": "memgym.agents.random:RandomAgent",
        "oracle": "memgym.agents.oracle:OracleAgent",
        "closed-book": "memgym.agents.closed_book:closed_book",
        "recency": "memgym.agents.recency:recency",
        "full-context": "memgym.agents.full_context:FullContextAgent",
        "add-all-bm25": "memgym.agents.bm25:add_all_bm25",
        "dense": "memgym.agents.dense:dense",
        "hybrid-rrf": "memgym.agents.hybrid:hybrid_rrf",
        "rules": "memgym.agents.rules:rules",
        "fact-keys": "memgym.agents.fact_keys:fact_keys",
        "sentence-idf": "memgym.agents.sentence_idf:sentence_idf",
        "a-mem": "memgym.agents.structured.a_mem:a_mem",
        "belief": "memgym.agents.scripted:belief",
        "first-cue": "memgym.agents.scripted:first_cue",
        "cue-blind": "memgym.agents.scripted:cue_blind",
        "compass-mem": "memgym.agents.structured.compass_mem:compass_mem",
        "graphiti": "memgym.agents.structured.graphiti:graphiti",
        "hg-mem": "memgym.agents.structured.hg_mem:hg_mem",
        "l2mac": "memgym.agents.structured.l2mac:l2mac",
        "mem0": "memgym.agents.structured.mem0:mem0",
        "memory-r1": "memgym.agents.structured.memory_r1:memory_r1",
        "simple-mem": "memgym.agents.structured.simple_mem:simple_mem",
        "struxgpt": "memgym.agents.structured.struxgpt:struxgpt",
        "tme": "memgym.agents.structured.tme:tme",
        "mem-lora": "memgym.agents.structured.mem_lora:mem_lora",
        "mem-alpha": "memgym.agents.structured.mem_alpha:mem_alpha",
        "memos": "memgym.agents.structured.memos:memos",
        "grpo-manager": "memgym.agents.llm.saved:grpo_manager",
        "ppo-lstm": "memgym.agents.ppo_lstm:PPOLSTMAgent",
        "ppo-memory": "memgym.agents.ppo_memory:PPOMemoryAgent",
    },
    group="memgym.agents",
)


def make_agent(name: str, **config: Any) -> Any:
    """Build an agent by registered name or ``"module:attr"``; `config` goes to its constructor.

    A file that `MemoryPPO` saved is an agent as well, by its name, ``"runs/lstm.safetensors"``, and so is the card
    of a memory manager or of a team, ``"models/manager/manager.json"`` or ``"models/team/team.json"``.

    Raises:
        UnknownName: no such agent; the message suggests near matches.
        DependencyMissing: the agent needs an extra that is not installed.
        WeightsInvalid: a file that is missing or damaged.
    """
    maker, arguments = maker_of(name)
    return AGENTS.resolve(maker)(**arguments, **config)


def maker_of(name: str) -> tuple[str, dict[str, Any]]:
    """What makes an agent, by registered name or ``"module:attr"``, and its arguments where the name is of a file."""
    if name.endswith(".safetensors"):
        return "memgym.agents.ppo:load_agent", {"weights": name}
    path = Path(name)
    if path.name == "manager.json":
        return "memgym.agents.llm.saved:saved_manager", {"folder": str(path.parent)}
    if path.name == "team.json":
        return "memgym.agents.llm.saved:saved_team", {"folder": str(path.parent)}
    return name, {}


def __getattr__(name: str) -> Any:
    """`MemoryPPO`, imported with torch where it is first used."""
    if name != "MemoryPPO":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from memgym.agents.ppo import MemoryPPO
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise DependencyMissing.for_extra("torch", "agents", "MemoryPPO") from error
    return MemoryPPO
