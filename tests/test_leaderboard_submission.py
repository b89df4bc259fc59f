"""Submissions: a true and complete result enters; a corpus of hostile and broken ones is refused with the reason."""

import contextlib
import gzip
import hashlib
import io
import json
import math
import shutil
import tarfile
import zipfile
import zlib
from dataclasses import replace
from functools import partial

import pytest
from typer.testing import CliRunner

from memgym.cli.main import app
from memgym.core import suites
from memgym.core.evaluate import AgentSpec, plan, run
from memgym.core.result import seal
from memgym.core.suites import Suite, get_suite
from memgym.errors import MemgymError, ResultError, ResultInvalid, SubmissionRefused
from memgym.leaderboard import submission
from memgym.leaderboard.submission import refuse_unless_same
from memgym.registry import Registry

EPISODES, TRACE, TIMES = "episodes.jsonl.gz", "traces/t-maze-n3.jsonl.gz", "timings.jsonl.gz"
check_submission, submit, check_pull_request = (
    partial(check, rerun=lambda bundle: None)  # the test's agents are references, and as they were
    for check in (submission.check_submission, submission.submit, submission.check_pull_request)
)
SCRIPT = "<script>window.pwned=1</script>"


@pytest.fixture(scope="module", autouse=True)
def tiny():
    """A registered suite that is small: three control tasks and a dialogue, four episodes each."""
    control = {task.name: task for task in get_suite("rewriting").tasks}
    tasks = [control["t-maze-n3"], control["key-value"], control["count"], get_suite("quickstart").tasks[1]]
    with pytest.MonkeyPatch.context() as patch:
        small = tuple(replace(task, episodes=4, num_seeds=2) for task in tasks)
        patch.setattr(suites, "TINY", Suite("tiny", "For tests.", small), raising=False)
        known = {name: f"memgym.core.suites:{name.upper()}" for name in ("tiny", "quickstart", "rewriting")}
        patch.setattr(suites, "SUITES", Registry("suite", known))
        yield


@pytest.fixture(scope="module")
def results(tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    run([plan(AgentSpec(name), get_suite("tiny"), out) for name in ("first-cue", "random", "closed-book")])
    run([plan(AgentSpec("first-cue"), get_suite("tiny+episodes=2"), out / "resized")])
    return out


@pytest.fixture
def folder(results, tmp_path):
    """A fresh copy of a good result, to be spoilt."""
    return shutil.copytree(results / "first-cue", tmp_path / "first-cue")


# ---- taken -----------------------------------------------------------------------------------------------


def test_a_true_and_complete_result_enters_byte_for_byte(folder, tmp_path):
    place = submit(folder, tmp_path / "submissions")
    assert place == tmp_path / "submissions" / "tiny" / "first-cue" / "1"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    assert all((place / name).read_bytes() == (folder / name).read_bytes() for name in names)
    assert {path.name for path in place.parent.iterdir()} == {"1"}  # nothing half-written


def test_another_version_enters_beside_the_first(folder, tmp_path):
    submit(folder, tmp_path / "submissions")
    rewrite_header(folder, lambda h: h["agent"].update(version="2"))
    with pytest.raises(SubmissionRefused, match="action for action"):  # the same result again
        submit(folder, tmp_path / "submissions")


def test_reference_agents_are_played_again(results, tmp_path):
    with pytest.raises(SubmissionRefused, match="played again"):
        submission.check_submission(results / "random", tmp_path)
    seen = []
    submission.check_submission(results / "random", tmp_path, seen.append)
    assert [bundle.header["agent"]["name"] for bundle in seen] == ["random"]


def test_a_rerun_that_did_something_else_is_named(results):
    from memgym.core.result import read_bundle

    mine, other = read_bundle(results / "first-cue"), read_bundle(results / "random")
    refuse_unless_same(mine, mine)
    with pytest.raises(SubmissionRefused, match=r"did something else: episodes\.jsonl\.gz"):
        refuse_unless_same(mine, other)


def test_command_says_where_it_went_and_what_to_do(folder, tmp_path):
    words = ["submit", str(folder), "--to", str(tmp_path / "submissions")]
    checked = CliRunner().invoke(app, [*words, "--check"])
    assert (checked.exit_code, (tmp_path / "submissions").exists()) == (0, False)
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "pull request" in done.output
    again = CliRunner().invoke(app, words)
    assert isinstance(again.exception, SubmissionRefused)
    assert "same digest" in str(again.exception)


def test_command_plays_the_agents_of_the_scale_again(results, tmp_path):
    done = CliRunner().invoke(app, ["submit", str(results / "random"), "--to", str(tmp_path)])
    assert done.exit_code == 0, done.output


# ---- the corpus ------------------------------------------------------------------------------------------


def rewrite_header(folder, change, repair=True):
    """Change the header as a careful cheat would: with fresh checksums, digest and seals."""
    path = folder / "submission.json"
    header = json.loads(path.read_bytes())
    change(header)
    if repair:
        for name in header["manifest"]:
            file = folder / name
            data = file.read_bytes() if file.is_file() else b""
            header["manifest"][name] = hashlib.sha256(data).hexdigest()
            if name in header["content"]:
                with contextlib.suppress(EOFError, OSError, zlib.error):
                    header["content"][name] = hashlib.sha256(gzip.decompress(data)).hexdigest()
        with contextlib.suppress(ValueError):
            header["digest"] = seal([header[k] for k in ("protocol", "suite", "agent", "tasks", "content")])
            header["seals"] = {k: seal(header[k]) for k in header["seals"] if k != "header"}
            top = [header[k] for k in ("schema", "protocol", "suite", "created", "digest")]
            header["seals"]["header"] = seal(top)
    path.write_text(json.dumps(header).replace("Infinity", "1e999"))


def header(change, repair=True):
    return lambda folder: rewrite_header(folder, change, repair)


def card(**fields):
    return header(lambda h: h["agent"].update(fields))


def file(name, data):
    def spoil(folder):
        (folder / name).write_bytes(data(folder) if callable(data) else data)
        rewrite_header(folder, lambda h: None)

    return spoil


def rows(name, change):
    def spoil(folder):
        found = [json.loads(line) for line in gzip.decompress((folder / name).read_bytes()).splitlines()]
        change(found)
        text = "".join(json.dumps(row).replace("Infinity", "1e999") + "\n" for row in found)
        file(name, gzip.compress(text.encode(), mtime=0))(folder)

    return spoil


def row(name=EPISODES, index=0, **fields):
    return rows(name, lambda found: found[index].update(fields))


def extra_file(name, data=b"x"):
    def spoil(folder):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)

    return spoil


def link(name, to):
    def spoil(folder):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(to)

    return spoil


def drop_task(h):
    """Leave out a task that did not go well, and say that it was skipped."""
    gone = h["tasks"].pop(1)["name"]
    h["skipped"].append({"task": gone, "reason": "no time"})
    del h["manifest"][f"traces/{gone}.jsonl.gz"], h["content"][f"traces/{gone}.jsonl.gz"], h["summary"][gone]


def without_task(folder):
    rows(
        EPISODES, lambda found: found.__setitem__(slice(None), [r for r in found if r["task"] != "key-value"])
    )(folder)
    (folder / "traces/key-value.jsonl.gz").unlink()
    rewrite_header(folder, drop_task)


def without_trace_of(folder):
    without_task(folder)
    rewrite_header(folder, lambda h: h["skipped"].pop())


def only_the_good(folder):
    """Keep the best episodes alone, and say that there are no more."""
    rows(EPISODES, lambda found: found.__setitem__(slice(None), [r for r in found if r["success"]]))(folder)


def swap_seeds(found):
    mine, other = found[0]["seed"], found[4]["seed"]
    for row in found[:8]:
        row["seed"] = other if row["seed"] == mine else mine


def best_twice(found):
    best = max(range(4), key=lambda i: found[i]["score"])
    worst = min(range(4), key=lambda i: found[i]["score"])
    found[worst] = {**found[best], "episode": found[worst]["episode"]}


def zip_bomb(folder):
    line = b'{"seed":1,"episode":0,"actions":[' + b"0," * 2_000_000 + b"0]}\n"
    return gzip.compress(line * 90, compresslevel=9)


def traversing_tar(folder):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../../evil.py"))
    return out.getvalue()


def a_zip(folder):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../evil.py", "0" * 10_000_000)
    return out.getvalue()


def deep(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


SPOILT = {
    # numbers that the actions do not give
    "changed reward": (row(**{"return": 9.5}), r"return is 9\.5 in the file"),
    "changed score": (row(score=0.123), r"score is 0\.123 in the file"),
    "changed success": (rows(EPISODES, lambda f: f[0].update(success=not f[0]["success"])), "success is"),
    "changed hash": (row(hash="0" * 32), "hash is"),
    "changed operations": (row(ops={"ADD": 7}), "ops"),
    "changed metrics": (row(metrics={"corridor": 3.0}), "metrics"),
    "bytes of a bank that held none": (row(bank_bytes=5), "bank_bytes is 5"),
    "changed action": (rows(TRACE, lambda f: f[0]["actions"].__setitem__(0, 1)), "episode 0"),
    "action outside the space": (
        rows(TRACE, lambda f: f[0]["actions"].__setitem__(0, "up")),
        "cannot be replayed",
    ),
    "actions cut off": (rows(TRACE, lambda f: f[0]["actions"].pop()), "length is"),
    "changed summary": (
        header(lambda h: h["summary"]["count"].update(score=1.0)),
        "summary: count: score is 1",
    ),
    # other episodes than the protocol's
    "swapped seeds": (
        rows(EPISODES, swap_seeds),
        "order",
    ),
    "seed of one's own": (header(lambda h: h["tasks"][0].update(seeds=[1, 2])), "seeds"),
    "fewer episodes": (header(lambda h: h["tasks"][0].update(episodes=2)), "episodes is 2 in the file"),
    "cherry-picked episodes": (only_the_good, "is missing"),
    "a good episode in a bad one's place": (rows(EPISODES, best_twice), "episode"),
    "an episode twice": (rows(EPISODES, lambda f: f.insert(0, f[0])), "there twice"),
    "an episode too many": (rows(EPISODES, lambda f: f.append({**f[-1], "episode": 99})), "unexpected"),
    "episodes in another order": (rows(EPISODES, lambda f: f.reverse()), "order"),
    # other tasks than the suite's
    "missing task with a pretext": (without_task, r"'key-value' is missing \(no time\)"),
    "missing task without a word": (without_trace_of, "'key-value' of suite 'tiny' is missing"),
    "altered environment": (
        header(lambda h: h["tasks"][0]["kwargs"].update(num_corridors=1)),
        "num_corridors is 1",
    ),
    "another environment": (
        header(lambda h: h["tasks"][0].update(env_id="memgym/ColorCubes-v0")),
        "env_id is",
    ),
    "environment to be imported": (header(lambda h: h["tasks"][0].update(env_id="os:system")), "env_id is"),
    "skipped task of no suite": (
        header(lambda h: h["skipped"].append({"task": "x", "reason": "y"})),
        "does not have",
    ),
    "renamed metric": (
        header(lambda h: h["tasks"][0].update(metric="judge:gpt")),
        "scored by a language model",
    ),
    "suite that nobody knows": (header(lambda h: h.update(suite="mine")), "no suite named 'mine'"),
    "suite to be imported": (
        header(lambda h: h.update(suite="os:system")),
        "not the name of a registered suite",
    ),
    "old protocol": (header(lambda h: h.update(protocol="1999.1")), "protocol is '1999.1'"),
    "another version of memgym": (
        header(lambda h: h["versions"].update(memgym="9.9")),
        r"made with memgym 9\.9",
    ),
    # costs that cannot be
    "no time at all": (
        rows(TIMES, lambda f: [r.update(cpu_s=0.0, wall_s=0.0) for r in f]),
        "impossible cost",
    ),
    "more CPU than there is": (
        rows(TIMES, lambda f: [r.update(cpu_s=1e7, wall_s=1.0) for r in f]),
        "impossible",
    ),
    "negative time": (row(TIMES, cpu_s=-1.0), "greater than or equal to 0"),
    "times left out": (rows(TIMES, lambda f: f.pop()), "is not there once"),
    "negative bytes": (row(agent_bytes=-1), "agent_bytes"),
    "more bytes than a number holds": (row(agent_bytes=2**60), "agent_bytes"),
    "memory without memory": (card(setting="closed-book", kind="rl"), "closed-book setting held"),
    "training without parameters": (card(training_steps=10, parameters=0), "no parameters"),
    # broken text
    "NaN": (lambda f: file(EPISODES, gzip.compress(b'{"score": NaN}\n'))(f), "NaN is not a JSON number"),
    "infinity": (row(score=math.inf), "not finite"),
    "a score beyond 1": (row(score=1e300), "score"),
    "a number of 5000 digits": (
        file(EPISODES, gzip.compress(b'{"score": ' + b"9" * 5000 + b"}\n")),
        "digits",
    ),
    "deep JSON": (row(questions=deep(200)), "nested"),
    "very deep JSON": (file(EPISODES, gzip.compress(b"[" * 100_000)), EPISODES),
    "too many values": (file(TRACE, gzip.compress(b"[" + b"0," * (1 << 21) + b"0]\n")), "values"),
    "half of a surrogate pair": (
        file(EPISODES, gzip.compress(b'{"error": "\\ud800"}\n')),
        "surrogates not allowed",
    ),
    "unknown field": (row(bonus=1), "bonus"),
    "missing field": (rows(EPISODES, lambda f: f[0].pop("agent_bytes")), "agent_bytes"),
    "text for a number": (row(length="12"), "length"),
    "not gzip": (file(EPISODES, b"plain"), "cannot be read"),
    "gzip cut off": (file(EPISODES, lambda f: (f / EPISODES).read_bytes()[:-9]), "cannot be read"),
    "zip bomb": (file(TRACE, zip_bomb), "larger than a result may be"),
    "header that is no JSON": (lambda f: (f / "submission.json").write_bytes(b"{"), "not JSON"),
    "empty header": (lambda f: (f / "submission.json").write_bytes(b""), "not JSON"),
    "huge header": (lambda f: (f / "submission.json").write_bytes(b" " * (3 << 20)), "larger than"),
    "future schema": (header(lambda h: h.update(schema="memgym-result/99")), "schema"),
    "surprise in the header": (header(lambda h: h.update(surprise=1)), "surprise"),
    # files and paths
    "wrong digest": (header(lambda h: h.update(digest="0" * 64), repair=False), "digest was changed"),
    "card changed afterwards": (
        header(lambda h: h["agent"].update(kind="rl"), repair=False),
        "section 'agent'",
    ),
    "trace of another result": (
        lambda f: (f / TRACE).write_bytes((f / "traces/count.jsonl.gz").read_bytes()),
        "checksum",
    ),
    "missing file": (lambda f: (f / TRACE).unlink(), "is missing"),
    "path traversal in the manifest": (
        header(lambda h: h["manifest"].update({"../../evil": "0" * 64})),
        "'../../evil'",
    ),
    "path traversal in a task's name": (header(lambda h: h["tasks"][0].update(name="../../evil")), "name"),
    "path traversal in the agent's name": (card(name="../../evil"), "name"),
    "path traversal in the version": (card(version="../../../evil"), "version"),
    "link instead of a file": (link(TRACE, "/etc/passwd"), "is a link"),
    "link beside the files": (link("more.jsonl.gz", "/etc/passwd"), "is a link"),
    "folder that is a link": (link("more", "/etc"), "is a link"),
    "program beside the files": (extra_file("setup.py", b"raise SystemExit"), "'setup.py'"),
    "hidden file": (extra_file(".env"), "'.env'"),
    "pickle": (extra_file("model.pkl", b"\x80\x04."), "'model.pkl'"),
    "trace of no task": (extra_file("traces/more.jsonl.gz"), "manifest does not name"),
    "folder in a folder": (extra_file("a/b/c.json"), "is a folder"),
    "tar that climbs out": (file(TRACE, traversing_tar), "not JSON|larger"),
    "zip that climbs out": (file(TRACE, a_zip), "cannot be read"),
    "page beside the files": (extra_file("index.html", SCRIPT.encode()), "'index.html'"),
    # the card
    "script in the agent's name": (card(name=SCRIPT), "letters, digits"),
    "name that reads backwards": (card(name="a\u202eb"), "name"),
    "empty name": (card(name=""), "name"),
    "very long name": (card(name="a" * 10_000), "name"),
    "kind of one's own": (card(kind="best"), "'kind'"),
    "link that runs a script": (card(url="javascript:alert(1)"), "https"),
    "nothing said": (card(description="An agent."), "how the agent remembers"),
    "characters that cannot be printed": (
        card(description="It keeps\x1b[2J the last cue it saw."),
        "printed",
    ),
    "nobody": (card(authors=[]), "no author"),
    "no licence": (card(licence=" "), "no licence"),
    "negative parameters": (card(parameters=-1), "'parameters'"),
    "field that no card has": (card(rank=1), "'rank'"),
    "missing field of the card": (header(lambda h: h["agent"].pop("licence")), "lacks 'licence'"),
}


def test_corpus_has_at_least_forty_kinds():
    assert len(SPOILT) >= 40


@pytest.mark.parametrize("kind", SPOILT)
def test_hostile_or_broken_result_is_refused_with_the_right_reason(folder, tmp_path, kind):
    spoil, reason = SPOILT[kind]
    spoil(folder)
    before = {path for path in tmp_path.rglob("*") if "first-cue" not in path.parts}
    with pytest.raises(ResultError, match=reason):
        submit(folder, tmp_path / "submissions")
    assert {path for path in tmp_path.rglob("*") if "first-cue" not in path.parts} == before


def test_unspoilt_result_is_the_control_of_the_corpus(folder, tmp_path):
    rewrite_header(folder, lambda h: None)
    rows(EPISODES, lambda found: None)(folder)
    rows(TRACE, lambda found: None)(folder)
    rows(TIMES, lambda found: None)(folder)
    check_submission(folder, tmp_path / "submissions")


@pytest.mark.parametrize(
    ("name", "reason"), [("oracle", "did something else"), ("mine", "is no reference agent")]
)
def test_reference_that_is_none_is_refused(folder, tmp_path, name, reason):
    rewrite_header(folder, lambda h: h["agent"].update(name=name))
    done = CliRunner().invoke(app, ["submit", str(folder), "--to", str(tmp_path / "submissions")])
    assert isinstance(done.exception, SubmissionRefused)
    assert reason in str(done.exception)


def test_resized_suite_is_refused(results, tmp_path):
    with pytest.raises(SubmissionRefused, match="submissions play 'tiny'"):
        check_submission(results / "resized" / "first-cue", tmp_path)


def test_agent_that_fails_in_every_episode_is_refused(folder, tmp_path):
    rows(EPISODES, lambda found: [r.update(error="broken") for r in found])(folder)
    with pytest.raises(SubmissionRefused, match="every episode ended in an error"):
        check_submission(folder, tmp_path / "submissions")


def test_the_same_result_under_another_name_is_refused(folder, tmp_path):
    submit(folder, tmp_path / "submissions")
    rewrite_header(folder, lambda h: h["agent"].update(name="mine"))
    with pytest.raises(SubmissionRefused, match="tiny/first-cue/1, action for action"):
        check_submission(folder, tmp_path / "submissions")


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(SubmissionRefused, match="not a folder"):
        check_submission(tmp_path / "nowhere", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ResultInvalid, match="not a result bundle"):
        check_submission(tmp_path / "empty", tmp_path)


# ---- pull requests ---------------------------------------------------------------------------------------


@pytest.fixture
def branches(results, tmp_path):
    """The submissions as they are, with one in them, and as a pull request would have them, with another."""
    accepted = tmp_path / "base"
    submit(results / "first-cue", accepted)
    proposed = shutil.copytree(accepted, tmp_path / "head")
    (proposed / "README.md").write_text("about")
    (accepted / "README.md").write_text("about")
    shutil.copytree(results / "closed-book", proposed / "tiny" / "closed-book" / "1")
    return proposed, accepted


def test_new_submission_of_a_pull_request_is_checked(branches):
    proposed, accepted = branches
    found = list(check_pull_request(proposed, accepted))
    assert [path.relative_to(proposed).as_posix() for path in found] == ["tiny/closed-book/1"]
    done = CliRunner().invoke(app, ["leaderboard", "check", str(proposed), str(accepted)])
    assert done.exit_code == 0, done.output
    assert "1 new submissions, all good" in done.output
    assert list(check_pull_request(accepted, accepted)) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda p: (p / "tiny/first-cue/1" / TRACE).unlink(), "was removed"),
        (lambda p: (p / "tiny/first-cue/1" / EPISODES).write_bytes(b""), "was changed"),
        (lambda p: (p / "README.md").write_text("mine"), "README.md was changed"),
        (lambda p: (p / "tiny/evil.py").write_text(""), r"tiny/evil\.py belongs to no new submission"),
        (lambda p: (p / "tiny/first-cue/1/evil.py").write_text(""), "belongs to no new submission"),
        (lambda p: (p / "tiny/link").symlink_to("/etc"), "is a link"),
        (
            lambda p: (p / "tiny/closed-book/1").rename(p / "tiny/closed-book/7"),
            "belongs in tiny/closed-book/1",
        ),
        (lambda p: shutil.copytree(p / "tiny/closed-book/1", p / "tiny/twin/1"), "belongs in|same digest"),
        (lambda p: shutil.copytree(p / "tiny/first-cue/1", p / "tiny/twin/1"), "same digest"),
        (lambda p: row(**{"return": 9.5})(p / "tiny/closed-book/1"), r"return is 9\.5"),
    ],
)
def test_pull_request_that_does_anything_else_is_refused(branches, change, reason):
    proposed, accepted = branches
    change(proposed)
    with pytest.raises(MemgymError, match=reason):
        list(check_pull_request(proposed, accepted))
