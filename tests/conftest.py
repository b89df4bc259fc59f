"""Shared fixtures: where real data is, and names from the registries."""

import os
from pathlib import Path

import pytest

from memgym.datasets import get_dataset
from memgym.errors import DatasetMissing

BESIDE = Path(__file__).parents[2] / "shared" / "data"

if "MEMGYM_DATA" not in os.environ and BESIDE.is_dir():
    os.environ["MEMGYM_DATA"] = str(BESIDE)


@pytest.fixture
def locomo_file() -> Path:
    """The real LoCoMo file; the test is skipped where it is not on this machine."""
    try:
        return get_dataset("locomo10").find()
    except DatasetMissing as error:
        pytest.skip(f"real LoCoMo data is not here: {error}")
