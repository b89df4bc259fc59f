"""The contract of neural memories, over the registry."""

import pytest

torch = pytest.importorskip("torch", reason="neural memories need torch")

from memgym.agents.nn import MODULES, make_memory  # noqa: E402
from memgym.agents.nn.checks import check_memory_module  # noqa: E402

NAMES = sorted(MODULES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [0, 1])
def test_keeps_the_contract(name: str, seed: int) -> None:
    check_memory_module(lambda: make_memory(name, 6, 10), seed=seed)


@pytest.mark.parametrize("name", NAMES)
def test_keeps_the_contract_in_double_precision(name: str) -> None:
    check_memory_module(lambda: make_memory(name, 6, 10).double(), atol=1e-10)
