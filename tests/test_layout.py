"""The house: who imports whom, what is packaged, and what `import memgym` costs."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {"memgym": "memgym", "agents": "memgym.agents", "baselines": "memgym.baselines"} | {
    "leaderboard": "memgym.leaderboard"
}
MAY_NOT = {  # folder -> packages that its modules never import
    "memgym": ("memgym.agents", "memgym.baselines", "memgym.leaderboard", "torch", "stable_baselines3"),
    "agents": ("memgym.baselines", "memgym.leaderboard"),
    "baselines": ("memgym.leaderboard",),
    "leaderboard": ("memgym.agents", "memgym.baselines", "torch"),
}
BARE = ("agents", "baselines", "leaderboard", "tests")  # never importable names
HEAVY = {
    "torch",
    "transformers",
    "stable_baselines3",
    "pydantic",
    "typer",
    "rich",
    "nltk",
    "pandas",
    "jinja2",
}


def modules(folder: str) -> list[Path]:
    return [p for p in sorted((ROOT / folder).rglob("*.py")) if "__pycache__" not in p.parts]


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_run_one_way(folder: str) -> None:
    bad = [
        (path.name, name)
        for path in modules(folder)
        for name in imports(path)
        if any(within(name, package) for package in MAY_NOT[folder]) or name.split(".")[0] in BARE
    ]
    assert bad == []


def test_memory_knows_neither_environments_nor_protocol() -> None:
    bad = [
        (path.name, name)
        for path in modules("memgym/memory")
        for name in imports(path)
        if within(name, "memgym.envs") or within(name, "memgym.core")
    ]
    assert bad == []


def test_every_folder_with_code_is_packaged() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = set(settings["tool"]["setuptools"]["packages"])
    found = {
        ".".join([FOLDERS[folder], *path.parent.relative_to(ROOT / folder).parts])
        for folder in FOLDERS
        for path in modules(folder)
    }
    assert listed == found


def test_files_stay_short() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for folder in FOLDERS
        for path in modules(folder)
        if (count := len(path.read_text("utf-8").splitlines())) > 450
    }
    assert long == {}


def test_importing_memgym_loads_nothing_heavy() -> None:
    program = "import sys, memgym; print(*{name.split('.')[0] for name in sys.modules})"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert set(out.split()) & HEAVY == set()


def test_making_an_environment_loads_nothing_heavy() -> None:
    program = (
        "import sys, gymnasium, memgym\n"
        "gymnasium.make('memgym/DialogueMemory-v0').reset(seed=0)\n"
        "gymnasium.make_vec('memgym/EndlessTMaze-v0', num_envs=4).reset(seed=0)\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert set(out.split()) & HEAVY == set()


def test_checkout_runs_without_installation(tmp_path: Path) -> None:
    """With nothing but gymnasium and numpy on the path, the folder itself is importable."""
    program = (
        "import sys\n"
        "sys.meta_path = [f for f in sys.meta_path if 'editable' not in type(f).__module__.lower()"
        " and 'editable' not in repr(f).lower()]\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "import memgym.agents, memgym.leaderboard, memgym.baselines\n"
        "print(memgym.agents.make_agent('recency').card.name)"
    )
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert out.stdout.strip() == "recency"


@pytest.mark.parametrize("module", ["errors", "registry", "rng", "spaces", "memory", "memory.ops", "stream"])
def test_all_lists_what_is_there(module: str) -> None:
    import importlib

    loaded = importlib.import_module(f"memgym.{module}")
    assert [name for name in loaded.__all__ if not hasattr(loaded, name)] == []


def test_no_file_names_a_machine() -> None:
    """Paths of somebody's machine have no place in the project."""
    words = ["/" + "work/", "/" + "root/", "/home/" + "ubuntu"]
    bad = [
        str(path.relative_to(ROOT))
        for folder in [*FOLDERS, "tests", "benchmarks", "examples"]
        for path in modules(folder)
        if any(word in path.read_text("utf-8") for word in words)
    ]
    assert bad == []
