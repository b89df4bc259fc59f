"""The wheel: what is in it, and that it works without the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = """
import pathlib, gymnasium as gym, memgym
from memgym.agents import AGENTS, make_agent
from memgym.baselines.reference import expected_file
from memgym.checks import play_by_name
import memgym.leaderboard.build
here = pathlib.Path(memgym.__file__).parent
assert (here / "py.typed").is_file()
assert expected_file("quickstart").is_file()
for module in (memgym.agents, memgym.leaderboard, memgym.baselines):
    assert pathlib.Path(module.__file__).is_relative_to(here), module.__file__
for name in AGENTS:
    make_agent(name)
print(here, play_by_name("rules", "memgym/DialogueMemory-v0", 1)[0].error)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(out),
    ]
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: the wheel is built from the committed files")
    source = tmp_path_factory.mktemp("source") / "memgym"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(source)], check=True)
    subprocess.run([*command, str(source)], check=True, capture_output=True)
    return next(out.glob("memgym-*.whl"))


@pytest.mark.slow
def test_wheel_puts_nothing_generic_into_site_packages(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"memgym", "memgym_verifiers.py"}


@pytest.mark.slow
def test_wheel_holds_every_tracked_file_of_the_package(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("memgym", "agents", "baselines", "leaderboard"):
        package = folder if folder == "memgym" else f"memgym/{folder}"
        listed = subprocess.run(
            ["git", "ls-tree", "-r", "--name-only", "HEAD", folder],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        # results belong to the repository, not to the package
        results = ("leaderboard/submissions/", "leaderboard/reference/")
        kept = [name for name in listed if not name.startswith(results)]
        expected = {package + name.removeprefix(folder) for name in kept}
        assert expected - inside == set()


@pytest.mark.slow
def test_installed_wheel_plays_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True)
    out = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.split() == [str(site / "memgym"), "None"]
