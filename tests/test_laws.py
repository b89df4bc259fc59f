"""Every policy of the registry keeps the laws of memories, in every variant of it."""

from typing import Any

import pytest

pytest.importorskip("pydantic", reason="the steps of structured systems are typed with pydantic")

from memgym.agents import AGENTS, make_agent
from memgym.checks import check_policy

NEED_TORCH = ("grpo-manager", "ppo-lstm", "ppo-memory")  # of which the first has a policy
PLAYERS = [name for name in AGENTS if name not in NEED_TORCH]
POLICIES = [*(name for name in PLAYERS if hasattr(make_agent(name), "make_policy")), "grpo-manager"]
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in POLICIES),
    ("a-mem", {"variant": "released"}),
    ("mem0", {"variant": "v2"}),
    ("mem-alpha", {"retrieval": "dense"}),
    ("simple-mem", {"variant": "v3"}),
]
QUICK = ("recency", "rules", "graphiti", "mem0")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param(
            name,
            options,
            id="-".join([name, *options.values()]),
            marks=() if name in QUICK and not options else pytest.mark.slow,
        )
        for name, options in VARIANTS
    ],
)
def test_a_policy_keeps_the_laws(name: str, options: dict[str, Any]) -> None:
    check_policy(make_agent(name, **options).make_policy, budgets=(None, 600))


def test_all_variants_are_there() -> None:
    """A variant that an agent takes and this file does not name would go unchecked."""
    assert len(POLICIES) >= 20
    for name, options in VARIANTS:
        for option, value in options.items():
            assert make_agent(name).card.config[option] != value
            assert make_agent(name, **options).card.config[option] == value
