"""The engine in a file: the same laws, nothing lost when its process is killed, and no trust in files."""

import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from memgym.memory import MemoryEngine, MemoryOp, Scope
from memgym.memory import persistent as module
from memgym.memory.laws import check_engine, random_ops
from memgym.memory.persistent import PersistentEngine, StoreInUse, StoreInvalid, StoreWriteFailed
from memgym.rng import CounterRNG


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bank.db"


def run(engine: MemoryEngine, seed: int, start: int, stop: int) -> Iterator[int]:
    """Operations `start` to `stop` of a program, with the number of each once it is there."""
    for i, op in enumerate(islice(random_ops(seed), start, stop), start):
        engine.apply(op, provenance=(f"i{i}",), step=i, scope=Scope("ann") if i % 5 == 0 else Scope())
        yield engine.seq


@pytest.mark.parametrize("budget", [None, 1500])
@pytest.mark.parametrize("seed", range(2))
def test_file_opens_as_the_bank_that_was_closed(path: Path, seed: int, budget: int | None) -> None:
    memory = MemoryEngine(budget, extended=True)
    for _ in run(memory, seed, 0, 200):
        pass
    for start in range(0, 200, 50):
        with PersistentEngine(path, budget, extended=True) as engine:
            assert engine.seq == start
            assert [*run(engine, seed, start, start + 50)][-1] == start + 50
    with PersistentEngine(path, budget, extended=True) as engine:
        assert engine.snapshot() == memory.snapshot()
        check_engine(engine)
        seq = max(engine._bank.undo_from, 150)
        for each in (engine, memory):
            each.rollback(seq)
            each.apply(MemoryOp.add("after undoing"))
    with PersistentEngine(path, budget, extended=True) as engine:
        assert engine.snapshot() == memory.snapshot()


@pytest.mark.parametrize("by_closing", [True, False])
def test_deleted_text_is_in_no_file(path: Path, by_closing: bool) -> None:
    with PersistentEngine(path, extended=True) as engine:
        for i in range(300):
            engine.apply(MemoryOp.add(f"zanzibar{i}x " + "filler " * (i % 40), note=f"zanzibar{i}x"))
            engine.apply(MemoryOp.update(f"m{i + 1}", f"zanzibar{i}x again"))
        for i in range(0, 300, 2):
            engine.apply(MemoryOp.delete(f"m{i + 1}"))
        if not by_closing:
            engine.compact()
            content = b"".join(file.read_bytes() for file in path.parent.iterdir())
    if by_closing:
        content = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert [i for i in range(300) if f"zanzibar{i}x".encode() in content] == list(range(1, 300, 2))


def test_update_alone_leaves_the_old_text_in_history_and_file(path: Path) -> None:
    """The control of the test above: where nothing is deleted, the text is there."""
    with PersistentEngine(path) as engine:
        engine.apply(MemoryOp.add("zanzibar"))
        engine.apply(MemoryOp.update("m1", "rome"))
        assert b"zanzibar" in b"".join(file.read_bytes() for file in path.parent.iterdir())


def test_second_opener_is_told_who_is_in_the_way(path: Path) -> None:
    with PersistentEngine(path), pytest.raises(StoreInUse, match="another process"):
        PersistentEngine(path)
    PersistentEngine(path).close()


def test_closed_engine_can_be_read_and_not_changed(path: Path) -> None:
    engine = PersistentEngine(path)
    engine.apply(MemoryOp.add("tea"))
    engine.close()
    assert engine.search("tea")
    with pytest.raises(ValueError, match="is closed"):
        engine.apply(MemoryOp.add("coffee"))
    with pytest.raises(TypeError, match="is not copied"):
        pickle.dumps(engine)


@pytest.mark.parametrize("arguments", [{"budget_bytes": 5}, {"extended": True}])
def test_other_arguments_than_the_file_was_made_with_are_named(path: Path, arguments: dict[str, Any]) -> None:
    PersistentEngine(path, 100).close()
    with pytest.raises(StoreInvalid, match=r"was made with .*100"):
        PersistentEngine(path, **{"budget_bytes": 100, **arguments})
    PersistentEngine(path, 100).close()


def test_disk_that_is_full_leaves_bank_and_file_as_they_were(path: Path) -> None:
    with PersistentEngine(path) as engine:
        engine.apply(MemoryOp.add("tea"))
        digest = engine.digest()
        engine._db.execute("PRAGMA max_page_count = 8")
        with pytest.raises(StoreWriteFailed, match="full"):
            engine.apply(MemoryOp.add("x" * 100_000))
        assert engine.digest() == digest
        assert [hit.entry.text for hit in engine.search("tea")] == ["tea"]
        engine.apply(MemoryOp.update("m1", "coffee"))
        digest = engine.digest()
    with PersistentEngine(path) as engine:
        assert engine.digest() == digest


# ---------------------------------------------------------------------- files from strangers


def edit(sql: str, *values: Any) -> Any:
    def change(path: Path) -> None:
        db = sqlite3.connect(path)
        db.execute(sql, values)
        db.commit()
        db.close()

    return change


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def scribble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:8192] = b"\xa5" * 4096
    path.write_bytes(content)


def foreign(path: Path) -> None:
    path.unlink()
    edit("CREATE TABLE version (entry, version, body)")(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.write_text("memories"), "not a memory bank"),
        (lambda path: path.write_bytes(b"SQLite format 3\0" + b"\0" * 200), "not a memory bank"),
        (foreign, "not a memory bank"),
        (cut, "damaged"),
        (scribble, "damaged"),
        (edit("PRAGMA user_version = 9"), "schema version 9"),
        (edit("CREATE TRIGGER t AFTER INSERT ON log BEGIN DELETE FROM version; END"), "other tables"),
        (edit("CREATE VIEW v AS SELECT 1"), "other tables"),
        (edit("DROP TABLE edge"), "other tables"),
        (edit("UPDATE log SET body = '{' WHERE seq = 1"), "not JSON"),
        (edit("UPDATE log SET body = x'00' WHERE seq = 1"), "damaged"),
        (edit("UPDATE log SET body = '[]' WHERE seq = 1"), "damaged"),
        (edit("DELETE FROM log WHERE seq = 1"), "gaps"),
        (
            edit("UPDATE version SET body = replace(body, 'm1', 'm7') WHERE entry = 1"),
            "order of creation|given out",
        ),
        (edit("UPDATE version SET body = replace(body, 'active', 'asleep')"), "'status'"),
        (edit("DELETE FROM version WHERE entry = 3"), "without an entry"),
        (edit("UPDATE meta SET value = '[[' WHERE name = 'extended'"), "not JSON"),
        (edit("DELETE FROM meta"), "was made with"),
    ],
)
def test_file_that_is_no_bank_is_refused_by_name_and_left_alone(
    path: Path, change: Any, message: str
) -> None:
    with PersistentEngine(path, extended=True) as engine:
        for i in range(60):
            engine.apply(MemoryOp.add(f"town {i} " + "x" * 100))
        engine.apply(MemoryOp.link("m1", "m3"))
    with PersistentEngine(path, extended=True) as engine:  # the control
        assert len(engine) == 60
    change(path)
    before = path.read_bytes()
    with pytest.raises(StoreInvalid, match=message) as caught:
        PersistentEngine(path, extended=True)
    assert str(path) in str(caught.value)
    if "not a memory bank" in message:
        assert path.read_bytes() == before
        assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_file_that_is_too_large_is_refused_before_it_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    PersistentEngine(path).close()
    monkeypatch.setattr(module, "MAX_FILE", 1000)
    with pytest.raises(StoreInvalid, match="at most 1000 B"):
        PersistentEngine(path)


def test_row_that_is_too_large_is_refused(path: Path) -> None:
    PersistentEngine(path).close()
    edit("INSERT INTO log VALUES (1, zeroblob(40000000))")(path)
    with pytest.raises(StoreInvalid, match="too big"):
        PersistentEngine(path)


def test_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        PersistentEngine(tmp_path / "nowhere" / "bank.db")


# ---------------------------------------------------------------------- killed at any moment

WRITER = """
import os, sys
from itertools import islice
from memgym.memory import Scope
from memgym.memory.laws import random_ops
from memgym.memory.persistent import PersistentEngine

engine = PersistentEngine(sys.argv[1], 4000, extended=True)
os.write(1, b"ready\\n")
for i, op in enumerate(islice(random_ops(0), engine.seq, None), engine.seq):
    engine.apply(op, provenance=(f"i{i}",), step=i, scope=Scope("ann") if i % 5 == 0 else Scope())
    os.write(1, f"{engine.seq}\\n".encode())
"""


def kill_after(path: Path, count: int) -> int:
    """Let a process write until it has acknowledged `count` operations, kill it, return the last acknowledged one."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    last = 0
    for _ in range(count):
        last = int(process.stdout.readline())
    process.kill()  # SIGKILL
    rest, _ = process.communicate()
    lines = [line for line in rest.split(b"\n")[:-1] if line]
    return int(lines[-1]) if lines else last


def check_killed(path: Path, kills: int) -> None:
    rng = CounterRNG(0)
    memory = MemoryEngine(4000, extended=True)
    for _ in range(kills):
        acknowledged = kill_after(path, rng.integer(1, 40))
        copy = path.with_name("copy.db")  # what is on disk as the process left it
        for end in ("", "-wal"):
            if Path(f"{path}{end}").exists():
                shutil.copy(f"{path}{end}", f"{copy}{end}")
        with PersistentEngine(copy, 4000, extended=True) as engine:
            assert engine.seq in (acknowledged, acknowledged + 1), "an acknowledged operation is missing"
            for _ in run(memory, 0, memory.seq, engine.seq):
                pass
            assert engine.snapshot() == memory.snapshot(), "an operation is half there"
        for end in ("", "-wal"):
            Path(f"{copy}{end}").unlink(missing_ok=True)


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_killed_process_leaves_every_acknowledged_operation(path: Path) -> None:
    check_killed(path, 2)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_fifty_kills_leave_every_acknowledged_operation(path: Path) -> None:
    check_killed(path, 50)


def test_deletion_by_a_killed_process_is_cleaned_up_when_the_file_is_opened(path: Path) -> None:
    program = (
        "import os, sys\nfrom memgym.memory import MemoryOp\n"
        "from memgym.memory.persistent import PersistentEngine\n"
        "engine = PersistentEngine(sys.argv[1])\n"
        "engine.apply(MemoryOp.add('zanzibar'))\nengine.apply(MemoryOp.delete('m1'))\nos.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(path)]).returncode == -9
    assert b"zanzibar" in Path(f"{path}-wal").read_bytes()  # the control
    with PersistentEngine(path) as engine:
        assert engine.seq == 2
        assert b"zanzibar" not in b"".join(file.read_bytes() for file in path.parent.iterdir())
