"""A published system as an agent: its policy, and the card that says who carries out its steps."""

from collections.abc import Callable, Sequence
from typing import Any

from memgym.agents.policy_agent import PolicyAgent
from memgym.core.agent import AgentCard
from memgym.llm import LLM, Step, make_llm
from memgym.memory.policy import MemoryPolicy

__all__ = ["system"]


def system(
    name: str,
    make_policy: Callable[[LLM], MemoryPolicy],
    *,
    llm: str,
    steps: Sequence[Step[Any, Any]],
    description: str,
    url: str,
    deviations: str,
    backend: LLM | None = None,
    **switches: Any,
) -> PolicyAgent:
    """The agent of a system over the environment's bank.

    Args:
        name: of the agent.
        make_policy: makes a fresh policy for each episode, whose steps the backend carries out.
        llm: names the backend, as in `memgym.llm.make_llm`.
        steps: that the policy asks for.
        description: one sentence: how it remembers.
        url: of the paper.
        deviations: from what is published.
        backend: where it was made already.
        switches: further arguments that the agent was made with, for its card.
    """
    backend = make_llm(llm) if backend is None else backend
    card = AgentCard(
        name=name,
        kind="scripted" if llm == "rules" else "llm",
        description=description,
        url=url,
        config={"llm": llm, **switches},
        extra={"steps": backend.card(*steps), "deviations": deviations},
    )
    return PolicyAgent(card, lambda: make_policy(backend), spent=lambda: backend.ledger.total.to_dict())
