"""Shared fixtures: the real data, where it is on this machine, and a server in the place of a language model."""

import os
import re
import runpy
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings

from memgym.datasets import get_dataset
from memgym.datasets.locomo import Conversation, load_locomo
from memgym.errors import DatasetMissing

# A shared machine may be slow for a moment, and a gate must not find new examples by chance.
settings.register_profile("memgym", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("memgym")

BESIDE = Path(__file__).parents[2] / "shared" / "data"
RULE_SERVER = Path(__file__).parents[1] / "benchmarks" / "rule_server.py"

if "MEMGYM_DATA" not in os.environ and BESIDE.is_dir():
    os.environ["MEMGYM_DATA"] = str(BESIDE)


@pytest.fixture(scope="session")
def shown() -> Callable[[str, str, str], str]:
    """(document, kind, name) -> what stands there between ``<!-- KIND:NAME -->`` and ``<!-- /KIND -->``."""

    def table(document: str, kind: str, name: str) -> str:
        text = (Path(__file__).parents[1] / document).read_text("utf-8")
        found = re.search(rf"<!-- {kind}:{name} -->\n(.*?)\n<!-- /{kind} -->", text, re.DOTALL)
        assert found is not None, f"{document} has no table {kind}:{name}"
        return found[1]

    return table


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Torch computes on one thread: tests run side by side, and more threads would wait for each other."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def small_tokenizer() -> Iterator[None]:
    """Tiny models have tokenizers that are learned from four dialogues, which is fast."""
    from memgym.baselines.manager import models
    from memgym.baselines.tiny_model import TinyPlan

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "TinyPlan", partial(TinyPlan, episodes=4, vocab_size=600))
        yield


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Where a dataset lies, by its name; the test that asks is skipped where it is not on this machine."""

    def find(name: str) -> Path:
        try:
            return get_dataset(name).find()
        except DatasetMissing:
            pytest.skip(f"{name} is not on this machine: set MEMGYM_DATA or run memgym data get {name}")

    return find


@pytest.fixture(scope="session")
def locomo_file(real_data: Callable[[str], Path]) -> Path:
    """The real LoCoMo file."""
    return real_data("locomo10")


@pytest.fixture(scope="session")
def conversations(locomo_file: Path) -> list[Conversation]:
    """What it holds."""
    return load_locomo(locomo_file)


@pytest.fixture(scope="module")
def rule_server() -> Iterator[str]:
    """The address of a server that follows rules in the place of a language model."""
    with runpy.run_path(str(RULE_SERVER))["serve"]() as url:
        yield url


@pytest.fixture
def llm(rule_server: str) -> str:
    """What is named there, as an agent takes it."""
    return f"openai:rules@{rule_server}"
