"""What was verified before is not replayed again, unless anything of it or of memgym's code has changed."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from memgym.cli.main import app
from memgym.core import verified
from memgym.core.evaluate import AgentSpec, plan, run
from memgym.core.result import seal
from memgym.core.suites import get_suite
from memgym.core.verified import verify_once
from memgym.errors import ResultInvalid, ResultMismatch


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results")
    run(
        [
            plan(AgentSpec(name), get_suite("retention+episodes=2"), out)
            for name in ("random", "oracle", "belief")
        ]
    )
    return out


@pytest.fixture
def bundle(results: Path, tmp_path: Path) -> Path:
    return shutil.copytree(results / "belief", tmp_path / "belief")


def test_the_second_time_nothing_is_replayed(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replayed: list[Any] = []
    honest = verified.verify
    monkeypatch.setattr(verified, "verify", lambda *given: replayed.append(given) or honest(*given))
    assert verify_once(bundle, tmp_path / "kept")
    assert not verify_once(bundle, tmp_path / "kept")
    assert len(replayed) == 1
    assert verify_once(bundle, tmp_path / "another")  # each machine for itself


def test_other_code_replays_again(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verify_once(bundle, tmp_path)
    monkeypatch.setattr(verified, "_code", lambda: "changed")
    assert verify_once(bundle, tmp_path)
    monkeypatch.setattr(verified, "VERSION", "99")
    assert verify_once(bundle, tmp_path)


def test_a_changed_byte_is_noticed(bundle: Path, tmp_path: Path) -> None:
    verify_once(bundle, tmp_path)
    trace = bundle / "traces" / "t-maze-n1.jsonl.gz"
    trace.write_bytes(trace.read_bytes()[:-1] + b"x")
    with pytest.raises(ResultInvalid, match="was changed"):
        verify_once(bundle, tmp_path)


def test_a_lie_is_never_noted(bundle: Path, tmp_path: Path) -> None:
    path = bundle / "submission.json"
    header = json.loads(path.read_bytes())
    header["summary"]["t-maze-n1"]["score"] = 0.25
    header["seals"]["summary"] = seal(header["summary"])
    path.write_text(json.dumps(header))
    for _ in range(2):
        with pytest.raises(ResultMismatch, match=r"score is 0\.25"):
            verify_once(bundle, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_notes_in_a_strangers_folder_are_not_read(bundle: Path, tmp_path: Path) -> None:
    verify_once(bundle, bundle)  # as if the stranger had put them there
    assert any(bundle.glob("*.verified"))
    assert verify_once(bundle, tmp_path / "kept")


def test_the_command_builds_twice_and_replays_once(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMGYM_CACHE", str(tmp_path / "cache"))
    said, pages = [], []
    for workers in ("1", "2"):
        words = ["leaderboard", "build", str(results), "--out", str(tmp_path / workers), "--workers", workers]
        out = CliRunner().invoke(app, words)
        assert out.exit_code == 0, out.output
        said.append(out.stdout)
        pages.append((tmp_path / workers / "index.html").read_bytes())
    assert "3 replayed." in said[0]
    assert "0 replayed, 3 verified here before." in said[1]
    assert pages[0] == pages[1]
    shutil.rmtree(tmp_path / "cache")
    out = CliRunner().invoke(app, [*words[:-1], "2"])
    assert "3 replayed." in out.stdout


def test_what_was_verified_by_hand_is_not_replayed_for_a_page(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMGYM_CACHE", str(tmp_path / "cache"))
    words = ["verify", str(results), "--workers", "1"]
    for _ in range(2):  # who asks for a replay gets one
        out = CliRunner().invoke(app, words)
        assert out.stdout.count("episodes replayed") == 3, out.output
    out = CliRunner().invoke(app, ["leaderboard", "build", str(results), "--out", str(tmp_path / "page")])
    assert "0 replayed, 3 verified here before." in out.stdout


def test_gzip_is_not_unpacked_for_what_is_known(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify_once(bundle, tmp_path)

    def fail(*given: Any) -> None:
        raise AssertionError("unpacked")

    monkeypatch.setattr(gzip, "open", fail)
    assert not verify_once(bundle, tmp_path)
