"""The leaderboard's statistics agree with rliable's, which needs an environment of its own."""

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "rliable_check.py"


@pytest.mark.slow
def test_statistics_agree_with_rliable_within_monte_carlo_error(tmp_path):
    spec = importlib.util.spec_from_file_location("rliable_check", SCRIPT)
    check = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check)
    folder = Path(os.environ.get("MEMGYM_RLIABLE_VENV", tmp_path / "venv"))
    try:
        check.environment(folder)
    except (OSError, subprocess.SubprocessError) as error:  # no network, or no such wheels here
        pytest.skip(f"rliable's pinned environment cannot be made: {error}")
    found = check.compare(folder)
    assert found["points"] < 1e-9
    assert found["profiles"] < 1e-9
    assert found["improvement"] < 1e-9
    assert found["interval ends / width"] < 0.05
