"""Play the agent of a result again, and see whether it does the same."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from memgym.core import evaluate
from memgym.core.engines import Engine
from memgym.core.result import Bundle, read_bundle
from memgym.core.suites import get_suite
from memgym.errors import SubmissionRefused
from memgym.registry import load_object

__all__ = ["play_again"]


def play_again(
    bundle: Bundle,
    engine: Engine | None = None,
    on_shard: Callable[[Any, int, int], None] = lambda shard, done, total: None,
) -> None:
    """Play the registered agent of a result again, all of its suite.

    Args:
        bundle: the result.
        engine: what plays; None for this process.
        on_shard: see `memgym.core.evaluate.run`.

    Raises:
        SubmissionRefused: it did something else, or no registered agent has this name.
    """
    refuse = load_object("memgym.leaderboard.submission:refuse_unless_same")
    name = bundle.header["agent"]["name"]
    if name not in load_object("memgym.agents:AGENTS"):  # a name in a stranger's file imports nothing
        raise SubmissionRefused(f"{name!r} is no reference agent of memgym, so it cannot be played again.")
    spec = evaluate.AgentSpec(name)
    with tempfile.TemporaryDirectory() as out:
        suite = get_suite(bundle.header["suite"])
        plans = [evaluate.plan(spec, suite, Path(out))]
        (folder,) = evaluate.run(plans, engine=engine, on_shard=on_shard)
        refuse(bundle, read_bundle(folder))
