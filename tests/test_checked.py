"""How far a result was checked: claimed, replayed, rerun, and what is kept of results without their actions."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from memgym.cli.main import app
from memgym.cli.rerun import play_again
from memgym.core.evaluate import AgentSpec, plan, run
from memgym.core.lines import unpack_lines
from memgym.core.result import TaskRow, digest_of, read_bundle, seal, write_bundle
from memgym.core.suites import get_suite
from memgym.core.verified import note_rerun, verify_once, was_rerun
from memgym.core.verify import verify
from memgym.errors import ResultInvalid, ResultMismatch, SubmissionRefused
from memgym.leaderboard.build import build_site
from memgym.leaderboard.checked import CHECKED_FILE, highest, keep, read_checked

NAMES = ("belief", "oracle", "random")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results")
    run([plan(AgentSpec(name), get_suite("retention+episodes=4"), out) for name in NAMES])
    return out


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMGYM_CACHE", str(tmp_path / "cache"))


def said(*words: str) -> str:
    done = CliRunner().invoke(app, [*words])
    assert done.exit_code == 0, done.output
    return done.output


def statuses(site: Path) -> dict[str, str]:
    return {
        agent["name"]: agent["status"] for agent in json.loads((site / "results.json").read_text())["agents"]
    }


def test_what_was_rerun_is_shown_beside_what_was_replayed_or_claimed(results: Path, tmp_path: Path) -> None:
    claimed = str(tmp_path / "claimed")
    said("leaderboard", "build", str(results), "--out", claimed, "--no-verify")
    assert statuses(Path(claimed)) == dict.fromkeys(NAMES, "claimed")
    assert "16 episodes replayed and played again" in said(
        "verify", str(results / "belief"), "--rerun", "--workers", "1"
    )
    said("leaderboard", "build", str(results), "--out", str(tmp_path / "site"), "--workers", "1")
    assert statuses(tmp_path / "site") == {"belief": "rerun", "oracle": "replayed", "random": "replayed"}
    page = (tmp_path / "site" / "index.html").read_text("utf-8")
    row = page.partition('<tr data-name="belief"')[2].partition("</tr>")[0]
    assert 'class="badge b-rerun"' in row
    assert "Somebody else ran the agent itself" in row


def dressed_up(folder: Path, target: Path) -> Path:
    """The same result under the name of another agent, with all checksums right."""
    bundle = read_bundle(folder)
    header = bundle.header
    names = [task["name"] for task in header["tasks"]]
    write_bundle(
        target,
        **{key: header[key] for key in ("protocol", "suite", "created", "versions", "skipped", "summary")},
        agent={**header["agent"], "name": target.name},
        tasks=[TaskRow.model_validate(task) for task in header["tasks"]],
        episodes=bundle.episodes,
        traces={name: actions(folder, name) for name in names},
    )
    return target


def actions(folder: Path, task: str) -> list[dict[str, Any]]:
    return list(unpack_lines(folder / "traces" / f"{task}.jsonl.gz"))


def test_a_rerun_finds_actions_that_the_agent_never_chose(results: Path, tmp_path: Path) -> None:
    """A replay cannot: the oracle's actions under the name of an agent that remembers nothing are as true."""
    false = dressed_up(results / "oracle", tmp_path / "r" / "cue-blind")
    assert verify(false).header["agent"]["name"] == "cue-blind"
    with pytest.raises(SubmissionRefused, match="played again and did something else"):
        play_again(read_bundle(false))
    done = CliRunner().invoke(app, ["verify", str(false), "--rerun", "--workers", "1"])
    assert done.exit_code == 1
    assert "did something else" in done.output
    assert not was_rerun(false, tmp_path / "cache" / "leaderboard")


def test_a_name_that_nobody_knows_is_not_imported(results: Path, tmp_path: Path) -> None:
    odd = dressed_up(results / "oracle", tmp_path / "os")
    with pytest.raises(SubmissionRefused, match="no reference agent of memgym"):
        play_again(read_bundle(odd))


def test_a_rerun_is_noted_for_these_very_bytes(results: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(results / "belief", tmp_path / "belief")
    verify_once(folder, tmp_path / "kept")
    assert not was_rerun(folder, tmp_path / "kept")  # a replay is none
    note_rerun(folder, tmp_path / "kept")
    assert was_rerun(folder, tmp_path / "kept")
    path = folder / "submission.json"
    path.write_bytes(path.read_bytes() + b"\n")
    assert not was_rerun(folder, tmp_path / "kept")


# ---------------------------------------------------------------------- kept without actions


@pytest.fixture(scope="module")
def kept_once(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("kept")
    note_rerun(results / "belief", out / "cache" / "leaderboard")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMGYM_CACHE", str(out / "cache"))
        kept = said("leaderboard", "keep", str(results), str(out / "kept"), "--workers", "1")
    assert f"Kept 3 results in {out / 'kept'}: 2 replayed, 1 rerun." in kept
    return out / "kept"


@pytest.fixture
def kept(kept_once: Path, tmp_path: Path) -> Path:
    return shutil.copytree(kept_once, tmp_path / "kept")


def test_what_is_kept_makes_the_same_page(results: Path, kept: Path, tmp_path: Path) -> None:
    assert {p.relative_to(kept).as_posix() for p in kept.rglob("*.*")} == {CHECKED_FILE} | {
        f"{name}/{file}"
        for name in NAMES
        for file in ("submission.json", "episodes.jsonl.gz", "timings.jsonl.gz")
    }
    assert "3 kept without their actions" in said(
        "leaderboard", "build", str(kept), "--out", str(tmp_path / "a")
    )
    build_site(results, tmp_path / "b", lambda folder: None, was_rerun=lambda folder: folder.name == "belief")
    assert statuses(tmp_path / "a") == {"belief": "rerun", "oracle": "replayed", "random": "replayed"}
    for name in ("index.html", "compare.html", "results.csv", "results.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_without_the_keepers_note_it_is_claimed(kept: Path, tmp_path: Path) -> None:
    (kept / CHECKED_FILE).unlink()
    said("leaderboard", "build", str(kept), "--out", str(tmp_path / "site"))
    assert statuses(tmp_path / "site") == dict.fromkeys(NAMES, "claimed")


def test_a_note_is_of_the_content_that_it_names(results: Path, kept: Path, tmp_path: Path) -> None:
    """Another result in the place of one that was rerun is not shown as rerun."""
    shutil.rmtree(kept / "belief")
    folder = dressed_up(results / "random", kept / "belief")
    shutil.rmtree(folder / "traces")
    build_site(kept, tmp_path / "site")
    assert statuses(tmp_path / "site")["belief"] == "claimed"


def test_what_is_kept_is_no_submission_and_is_not_verified(kept: Path) -> None:
    with pytest.raises(ResultInvalid, match=r"traces/.* is missing"):
        verify(kept / "belief")
    with pytest.raises(ResultInvalid, match=r"traces/.* is missing"):
        read_bundle(kept / "belief")


def test_one_missing_file_of_actions_is_no_abridgement(results: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(results / "belief", tmp_path / "r" / "belief")
    (folder / "traces" / "t-maze-n1.jsonl.gz").unlink()
    with pytest.raises(ResultInvalid, match=r"t-maze-n1.* is missing"):
        build_site(tmp_path / "r", tmp_path / "site")


def test_a_changed_byte_of_what_is_kept_is_noticed(kept: Path, tmp_path: Path) -> None:
    path = kept / "belief" / "episodes.jsonl.gz"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ResultInvalid, match="was changed"):
        build_site(kept, tmp_path / "site")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "no object"),
        ("{", "cannot be read"),
        ('{"a": "certified"}', "certified"),
        ('{"a": []}', "not"),
    ],
)
def test_a_note_that_is_none_is_named(kept: Path, text: str, message: str) -> None:
    (kept / CHECKED_FILE).write_text(text)
    with pytest.raises(ResultInvalid, match=message):
        read_checked(kept)


def test_a_result_that_is_kept_anew_takes_its_note_with_it(results: Path, kept: Path) -> None:
    """Others stay, and nothing is noted of what is no longer there."""
    before = read_checked(kept)
    digest = read_bundle(results / "belief").header["digest"]
    assert keep(results / "belief", kept, lambda folder: "replayed") == {"belief": "replayed"}
    assert read_checked(kept) == before | {digest: "replayed"}
    shutil.rmtree(kept / "belief")
    keep(results / "random", kept, lambda folder: "claimed")
    assert digest not in read_checked(kept)
    assert len(read_checked(kept)) == 2


def test_who_was_caught_is_not_kept(results: Path, kept: Path) -> None:
    def refuse(folder: Path) -> str:
        raise ResultMismatch("it does not replay")

    before = (kept / "belief" / "submission.json").read_bytes()
    with pytest.raises(ResultMismatch):
        keep(results, kept, refuse)
    assert (kept / "belief" / "submission.json").read_bytes() == before


def test_a_name_that_leads_elsewhere_is_refused(results: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(results / "belief", tmp_path / "r" / "belief")
    header = json.loads((folder / "submission.json").read_bytes())
    header["agent"]["name"] = "../../elsewhere"
    header["digest"] = digest_of(header)
    header["seals"]["agent"] = seal(header["agent"])
    top = [header[name] for name in ("schema", "protocol", "suite", "created", "digest")]
    header["seals"]["header"] = seal(top)
    (folder / "submission.json").write_text(json.dumps(header))
    with pytest.raises(ResultInvalid, match="is no agent's name"):
        keep(tmp_path / "r", tmp_path / "a" / "b" / "kept", lambda folder: "claimed")
    assert not (tmp_path / "a").exists()


def test_the_highest_rung() -> None:
    assert highest("replayed", "claimed", "rerun", "claimed") == "rerun"
