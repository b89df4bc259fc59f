"""A memory engine whose bank is one SQLite file, written operation by operation."""

import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, Self

from memgym.errors import InvalidOperation, MemgymError
from memgym.memory.bank import Bank, Change
from memgym.memory.edges import EdgeTable
from memgym.memory.embed import Embedder
from memgym.memory.engine import MemoryEngine
from memgym.memory.entry import ROOT, AppliedOp, Edge, MemoryEntry, Scope
from memgym.memory.ops import MAX_TEXT, MemoryOp, OpKind
from memgym.memory.snapshot import (
    applied_fields,
    check_bank,
    entry_fields,
    from_json,
    read_applied,
    read_edge,
    read_entry,
    to_json,
)

__all__ = ["PersistentEngine", "StoreError", "StoreInUse", "StoreInvalid", "StoreWriteFailed"]

APPLICATION_ID = 0x6D676D31  # "mgm1" in the file's header, where `file` and SQLite's own tools look
SCHEMA_VERSION = 1
MAX_FILE = 8 << 30  # bytes
MAX_ROW = 16 * MAX_TEXT  # bytes; text and attributes in UTF-8 with JSON's escapes
MAGIC = b"SQLite format 3\x00"
SCHEMA = {
    "meta": "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "version": "CREATE TABLE version (entry INTEGER NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL, "
    "PRIMARY KEY (entry, version)) WITHOUT ROWID",
    "edge": "CREATE TABLE edge (source INTEGER NOT NULL, target INTEGER NOT NULL, rel TEXT NOT NULL, "
    "seq INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (source, target, rel, seq)) WITHOUT ROWID",
    "log": "CREATE TABLE log (seq INTEGER PRIMARY KEY, body TEXT NOT NULL)",
}
PUT_VERSION = "INSERT OR REPLACE INTO version VALUES (?, ?, ?)"
PUT_EDGE = "INSERT OR REPLACE INTO edge VALUES (?, ?, ?, ?, ?)"
PUT_LOG = "INSERT OR REPLACE INTO log VALUES (?, ?)"


class StoreError(MemgymError):
    """Something is wrong with the file of a persistent engine."""


class StoreInvalid(StoreError, ValueError):
    """A file that is not, or not any more, a memory bank that this version can read."""


class StoreInUse(StoreError, BlockingIOError):
    """The file is open in another process."""


class StoreWriteFailed(StoreError, OSError):
    """An operation could not be written; the bank is as it was before it."""


class PersistentEngine(MemoryEngine):
    """`MemoryEngine` in a file: what `apply` has returned is there after the process was killed at any moment.

    Every operation is one transaction in SQLite's write-ahead log, so none is ever half there. A DELETE takes the
    text out of every row; in unused parts of the file, copies may stay until `compact`, which `close` calls where
    something was deleted, as does opening a file that was not closed. The bank is in memory as well: opening reads
    the whole file, and searches build their indices anew. One process at a time has the file open. Close it, or use
    it in a ``with`` statement.

    Args:
        path: the file; made where there is none.
        budget_bytes: as in `MemoryEngine`; of a file that is there, what it was made with.
        extended: as in `MemoryEngine`; of a file that is there, what it was made with.
        embedder: as in `MemoryEngine`.
        synchronous: ``"NORMAL"`` hands each operation to the operating system, which is enough against a killed or
            crashed process, and after a power cut the last operations may be missing, though none is half there;
            ``"FULL"`` waits for the disk in every operation, so that a power cut takes nothing either.

    Raises:
        StoreInvalid: another kind of file, a damaged one, one of a newer memgym, or one made with other arguments.
        StoreInUse: another process has it open.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        budget_bytes: int | None = None,
        *,
        extended: bool = False,
        embedder: Embedder | None = None,
        synchronous: str = "NORMAL",
    ) -> None:
        if synchronous not in ("NORMAL", "FULL"):
            raise ValueError(f"synchronous is 'NORMAL' or 'FULL', not {synchronous!r}.")
        super().__init__(budget_bytes, extended=extended, embedder=embedder)
        self.path = Path(path)
        if not self.path.exists() or not self.path.stat().st_size:
            _create(self.path, {"budget_bytes": budget_bytes, "extended": extended})
        _check_header(self.path)
        self._db = _connect(self.path, synchronous)
        try:
            self._adopt(self._guarded(lambda: self._load(budget_bytes, extended)))
            if self._unclean:
                self.compact()
        except BaseException:
            self._db.close()
            raise

    def apply(
        self, op: MemoryOp, *, provenance: Sequence[str] = (), step: int = 0, scope: Scope = ROOT
    ) -> AppliedOp:
        """Carry out one operation and write it down, or refuse it with a reason, which is written down too.

        Raises:
            InvalidOperation: a kind that is none; everything else is refused with a reason.
            StoreWriteFailed: the disk is full or the like; nothing has changed.
            ValueError: the engine is closed.
        """
        self._check_open()
        return super().apply(op, provenance=provenance, step=step, scope=scope)

    def rollback(self, seq: int) -> None:
        """Undo every operation after number `seq`; the file is written anew, in one transaction."""
        self._check_open()
        super().rollback(seq)
        bank = self._bank
        rows: list[tuple[str, tuple[Any, ...]]] = [
            (f"DELETE FROM {table}", ()) for table in ("version", "edge", "log")
        ]
        rows += [_put_version(entry) for versions in bank.versions.values() for entry in versions]
        rows += [_put_edge(edge) for edge in bank.edges.all()]
        rows += [_put_log(done) for done in bank.log]
        self._write(rows)

    def compact(self) -> None:
        """Write the file anew without unused parts: of what was deleted, no byte is in it or beside it any more.

        It takes about as long as writing the file.

        Raises:
            StoreWriteFailed: there is no room for a second copy.
            ValueError: the engine is closed.
        """
        self._check_open()
        try:
            self._db.execute("VACUUM")
            self._db.execute("DELETE FROM meta WHERE name = 'unclean'")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            raise StoreWriteFailed(f"{self.path}: {error}.") from error
        self._unclean = False

    def close(self) -> None:
        """Close the file; the bank can still be read."""
        if self._closed:
            return
        try:
            if self._unclean:
                self.compact()
        finally:
            self._db.close()
            self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __getstate__(self) -> NoReturn:
        raise TypeError(
            "a persistent engine is not copied; MemoryEngine.restore(engine.snapshot()) is a copy."
        )

    # ------------------------------------------------------------------ inside

    _closed = False
    _unclean = False  # whether something was deleted since the file was compact

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError(f"the engine of {self.path} is closed.")

    def _keep(self, changes: Sequence[Change]) -> None:
        bank = self._bank
        rows: list[tuple[str, tuple[Any, ...]]] = []
        for kind, what in changes:
            if kind == "put":
                rows.append(_put_version(what))
            elif kind == "drop":
                rows.append(
                    ("DELETE FROM version WHERE entry = ? AND version = ?", (_number(what[0]), what[1]))
                )
            elif kind == "remove":
                rows.append(("DELETE FROM version WHERE entry = ?", (_number(what),)))
            elif kind == "edge":
                rows.append(_put_edge(what))
            elif kind == "unedge":
                key = (_number(what.source), _number(what.target), what.rel, what.seq)
                rows.append(("DELETE FROM edge WHERE (source, target, rel, seq) = (?, ?, ?, ?)", key))
            else:
                rows.append(_put_log(bank.log[what]))
        deleted = bank.log[-1].op.kind is OpKind.DELETE and bank.log[-1].ok
        if deleted and not self._unclean:
            rows.append(("INSERT INTO meta VALUES ('unclean', 'true')", ()))
        self._write(rows)
        self._unclean = self._unclean or deleted

    def _write(self, rows: Sequence[tuple[str, tuple[Any, ...]]]) -> None:
        """Write in one transaction."""
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            for sql, values in rows:
                db.execute(sql, values)
            db.execute("COMMIT")
        except sqlite3.Error as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            self._adopt(self._guarded(lambda: self._load(self.budget_bytes, self.extended)))
            raise StoreWriteFailed(f"{self.path}: {error}.") from error

    def _guarded(self, read: Callable[[], Bank]) -> Bank:
        try:
            return read()
        except (sqlite3.Error, InvalidOperation, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
                raise StoreInUse(f"{self.path} is open in another process.") from error
            raise StoreInvalid(f"{self.path} is damaged: {error}.") from error

    def _load(self, budget_bytes: int | None, extended: bool) -> Bank:
        """The bank in the file, checked."""
        db = self._db
        db.execute("BEGIN IMMEDIATE")  # takes the lock, which is kept
        db.execute("COMMIT")
        self._check_schema()
        made_with = {name: from_json(value) for name, value in db.execute("SELECT name, value FROM meta")}
        self._unclean = made_with.pop("unclean", False)
        if made_with != {"budget_bytes": budget_bytes, "extended": extended}:
            raise StoreInvalid(f"{self.path} was made with {made_with}.")
        bank = Bank(budget_bytes, extended)
        log = db.execute("SELECT body FROM log ORDER BY seq")
        bank.log = [read_applied(from_json(body)) for (body,) in log]
        bank.seq = len(bank.log)
        edges = db.execute("SELECT body FROM edge ORDER BY source, target, rel, seq")
        bank.edges = EdgeTable(read_edge(from_json(body)) for (body,) in edges)
        chains: dict[str, list[MemoryEntry]] = {}
        for (body,) in db.execute("SELECT body FROM version ORDER BY entry, version"):
            entry = read_entry(from_json(body))
            chains.setdefault(entry.id, []).append(entry)
        check_bank(bank, list(chains.values()))
        return bank

    def _check_schema(self) -> None:
        db = self._db
        found = dict(db.execute("SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'"))
        if found != SCHEMA:  # nothing else either: a trigger could do anything
            raise StoreInvalid(
                f"{self.path} has other tables than a memory bank: {', '.join(sorted(found))[:80]}."
            )
        (health,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if health != "ok":
            raise StoreInvalid(f"{self.path} is damaged: {health}.")


def _create(path: Path, made_with: dict[str, Any]) -> None:
    """An empty bank, written beside and renamed, so that there never is half a file."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no folder {path.parent}")
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    db = sqlite3.connect(draft, isolation_level=None)
    try:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute("BEGIN")
        for sql in SCHEMA.values():
            db.execute(sql)
        db.executemany(
            "INSERT INTO meta VALUES (?, ?)", ((name, to_json(it)) for name, it in made_with.items())
        )
        db.execute("COMMIT")
    finally:
        db.close()
    draft.replace(path)


def _check_header(path: Path) -> None:
    """Refuse a foreign file before SQLite touches it."""
    size = path.stat().st_size
    if size > MAX_FILE:
        raise StoreInvalid(f"{path} has {size} B; a memory bank has at most {MAX_FILE} B.")
    with path.open("rb") as file:
        header = file.read(100)
    if not header.startswith(MAGIC) or int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise StoreInvalid(f"{path} is not a memory bank of memgym.")
    version = int.from_bytes(header[60:64], "big")
    if version != SCHEMA_VERSION:
        raise StoreInvalid(
            f"{path} has schema version {version}; this memgym reads version {SCHEMA_VERSION}."
        )


def _connect(path: Path, synchronous: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
    try:
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_ROW)
        for pragma in (
            "trusted_schema = OFF",
            "cell_size_check = ON",
            "locking_mode = EXCLUSIVE",  # before the first access: the log's index then needs no shared memory
            "secure_delete = ON",
            "journal_mode = WAL",
            f"synchronous = {synchronous}",
        ):
            db.execute(f"PRAGMA {pragma}").fetchall()
    except sqlite3.Error as error:
        db.close()
        if "locked" in str(error):
            raise StoreInUse(f"{path} is open in another process.") from error
        raise StoreInvalid(f"{path} is damaged: {error}.") from error
    return db


def _put_version(entry: MemoryEntry) -> tuple[str, tuple[Any, ...]]:
    return PUT_VERSION, (entry.number, entry.version, to_json(entry_fields(entry)))


def _put_edge(edge: Edge) -> tuple[str, tuple[Any, ...]]:
    return PUT_EDGE, (_number(edge.source), _number(edge.target), edge.rel, edge.seq, to_json(edge))


def _put_log(done: AppliedOp) -> tuple[str, tuple[Any, ...]]:
    return PUT_LOG, (done.seq, to_json(applied_fields(done)))


def _number(id: str) -> int:
    return int(id[1:])
