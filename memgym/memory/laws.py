"""The laws that every memory keeps, whatever engine carries it and whatever policy thinks: checks for yours."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn
from unittest import mock

from memgym.memory.engine import MemoryEngine
from memgym.memory.entry import ROOT, Scope
from memgym.memory.ops import MADE, MemoryOp
from memgym.memory.persistent import PersistentEngine
from memgym.memory.policy import MemoryPolicy, Message
from memgym.memory.store import MemoryStore
from memgym.rng import CounterRNG

__all__ = ["check_engine", "check_policy", "random_messages", "random_ops"]

VIEWS = ("lexical", "recency")
# by which a policy finds an entry again; counts up with all entries of a bank
HANDLE = re.compile(r" #h[0-9]+$")
WORDS = (
    "oslo rome cello tea coffee maya jonas moved likes works sister garden kayak bremen piano winter".split()
)
TOLD = (
    "I live in {} now",
    "My favourite thing is {}",
    "Actually it is {} instead",
    "Please forget what I said about {}",
    "I met somebody who likes {}",
    "The weather is {}",
)
CLOCKS = (
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "uuid.uuid1",
    "uuid.uuid4",
    "os.urandom",
    "random.random",
    "secrets.token_bytes",
)


def random_messages(seed: int, count: int) -> list[Message]:
    """Messages of two speakers, each with a word of its own (``zq0x``, ``zq1x``, ...), dated, the same for a seed."""
    rng = CounterRNG(seed)
    messages = []
    for i in range(count):
        said = rng.choice(TOLD).format(" ".join([rng.choice(WORDS), f"zq{i}x", rng.choice(WORDS)]))
        messages.append(
            Message(
                said, rng.choice(("Maya", "Jonas")), f"2024-01-{1 + i // 12 % 28:02d}T{8 + i % 12:02d}:00"
            )
        )
    return messages


def random_ops(seed: int, *, extended: bool = True) -> Iterator[MemoryOp]:
    """Operations without end, many of them on entries that may be there, the same for a seed."""
    rng = CounterRNG(seed)
    made = 0
    for i in range(1 << 62):
        text = " ".join([f"zq{i}x", *(rng.choice(WORDS) for _ in range(rng.integer(1, 8)))])
        ids = [f"m{rng.integer(max(1, made - 8), made + 2)}" for _ in range(2)]
        kind = rng.integer(0, 15 if extended else 6)
        if kind <= 3:
            made += 1
            yield MemoryOp.add(text, slot=rng.choice(WORDS))
        elif kind <= 5:
            yield MemoryOp.update(ids[0], text, valid_from="2024-01-01")
        elif kind == 6:
            yield MemoryOp.delete(ids[0])
        elif kind <= 8:
            yield MemoryOp.merge(ids[:2], text)
        elif kind <= 10:
            yield MemoryOp.link(
                ids[0], rng.choice([ids[1], MADE]), rng.choice(["causes", "part_of"]), rng.integer(1, 5)
            )
        elif kind == 11:
            yield MemoryOp.unlink(ids[0], ids[1])
        elif kind == 12:
            yield MemoryOp.archive(ids[0])
        elif kind == 13:
            yield MemoryOp.restore(ids[0])
        elif kind == 14:
            yield (
                MemoryOp.freeze(ids[0])
                if rng.integer(0, 3) == 0
                else MemoryOp.add(text, derived_from=[ids[0]])
            )
        else:
            yield MemoryOp.rollback(ids[0], rng.integer(1, 3))


def check_engine(engine: MemoryEngine, queries: Sequence[str] = ("maya oslo", "zq1x")) -> None:
    """Check what holds of a bank at any moment.

    Ids are unique and count up; the bytes are those of the entries and within the budget; every active entry is
    found; the bank that its snapshot or its log gives is the same one, digest and rankings included.

    Raises:
        AssertionError: names the law that is broken.
    """
    entries = engine.get_all()
    ids = [entry.id for entry in entries]
    assert ids == sorted(set(ids), key=lambda id: int(id[1:])), "ids are unique and count up"
    assert engine.active_nbytes == sum(entry.nbytes for entry in entries), (
        "the bytes are those of the entries"
    )
    if engine.budget_bytes is not None:
        assert engine.nbytes <= engine.budget_bytes, (
            f"{engine.nbytes} B in a budget of {engine.budget_bytes} B"
        )
    newest = engine.search("", len(entries) + 1, views=["recency"])
    assert sorted(hit.entry.number for hit in newest) == [entry.number for entry in entries], (
        "all entries are found"
    )
    copies = {
        "its snapshot": MemoryEngine.restore(engine.snapshot()),
        "its log": MemoryEngine.replay(engine.log, engine.budget_bytes, extended=engine.extended),
    }
    for name, copy in copies.items():
        assert copy.digest() == engine.digest(), f"the bank that {name} gives is another one"
        for query in queries:
            for view in VIEWS:
                assert _ranking(copy, query, view) == _ranking(engine, query, view), f"{name} ranks otherwise"


def check_policy(
    make_policy: Callable[[], MemoryPolicy],
    *,
    extended: bool = True,
    budgets: Sequence[int | None] = (None, 600, 3000),
    messages: Sequence[Message] | None = None,
    seed: int = 0,
) -> None:
    """Check that a memory system keeps the laws, in memory and in a file, under several budgets.

    Those of `check_engine` hold all along. The same messages give the same bank, in a file as in memory, without a
    look at a clock or at random numbers of the system. What one user says changes nothing of what another one
    finds. When everything that holds a message's word is deleted, the word is nowhere any more: not in searches,
    versions, log, snapshot, derived entries or the file.

    Args:
        make_policy: makes a fresh one, in the state in which it starts to remember.
        extended: whether it emits the operations of an extended bank.
        budgets: bytes; None for no limit.
        messages: what it is told; by default 40 of `random_messages`, each with a word of its own.
        seed: of those.

    Raises:
        AssertionError: names the law that is broken.
    """
    told = random_messages(seed, 40) if messages is None else list(messages)
    for budget in budgets:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "bank.db"
            memory = _told(
                MemoryStore(MemoryEngine(budget, extended=extended), make_policy), told, check=True
            )
            with PersistentEngine(path, budget, extended=extended) as engine:
                stored = _told(MemoryStore(engine, make_policy), told)
                assert engine.digest() == memory.engine.digest(), "in a file it comes to another bank"
                _check_derived(engine)
                for word in _words(told):
                    _forget(memory, word)
                    _forget(stored, word)
                assert engine.digest() == memory.engine.digest(), "in a file it forgets otherwise"
                check_engine(memory.engine)
            _check_gone(memory.engine, _words(told), [path, Path(f"{path}-wal")])
            with PersistentEngine(path, budget, extended=extended) as engine:
                assert engine.digest() == memory.engine.digest(), (
                    "the file gives another bank when opened again"
                )
    _check_isolation(make_policy, extended, told)


def _told(
    store: MemoryStore, messages: Sequence[Message], check: bool = False, user_id: str = ""
) -> MemoryStore:
    with ExitStack() as patches:
        for clock in CLOCKS:
            patches.enter_context(mock.patch(clock, _refuse))
        for i, message in enumerate(messages):
            done = store.add(message.text, speaker=message.speaker, time=message.time, user_id=user_id)
            assert isinstance(done["results"], list)
            if check and i % 10 == 9:
                check_engine(store.engine)
    return store


def _refuse(*args: Any, **kwargs: Any) -> NoReturn:
    raise AssertionError("a memory looks at no clock and draws no random numbers of the system")


def _words(messages: Sequence[Message]) -> list[str]:
    """The words that tell the messages apart, of every third one."""
    return [word for message in messages[::3] for word in re.findall(r"\bzq\d+x\b", message.text)]


def _forget(store: MemoryStore, word: str) -> None:
    """Delete every entry, active or not, that has or had the word in its text or attributes."""
    had = {done.id for done in store.engine.log if word in str((done.op.text, done.op.attrs))}
    for status in ("", "archived"):
        for entry in store.engine.get_all(status=status):
            if entry.id in store.engine and (
                entry.id in had or any(word in str((v.text, v.attrs)) for v in store.history(entry.id))
            ):
                if entry.status == "frozen":
                    store.engine.apply(MemoryOp.restore(entry.id))
                assert store.delete(entry.id).ok, f"{entry.id} cannot be deleted"


def _check_derived(engine: MemoryEngine) -> None:
    """What was derived from a deleted entry is emptied, in all its versions."""
    everything = [entry for status in ("", "archived") for entry in engine.get_all(status=status)]
    derived = [(parent, entry.id) for entry in everything for parent in entry.parents if parent in engine]
    for parent, child in derived[:: max(1, len(derived) // 5)]:
        copy = MemoryEngine.restore(engine.snapshot())
        copy.apply(MemoryOp.restore(parent))
        if copy.apply(MemoryOp.delete(parent)).ok:
            left = [version.text for version in copy.history(child) if version.text]
            assert not left, (
                f"{parent} was deleted, and {child}, which was derived from it, still says {left[0]!r}"
            )


def _check_gone(engine: MemoryEngine, words: Sequence[str], files: Sequence[Path]) -> None:
    live = {word for word in words for entry in engine.get_all() if word in entry.text}
    assert not live, f"{sorted(live)[:3]} are still in entries"
    places = {"the snapshot": engine.snapshot(), "the log": str(engine.log).encode()}
    places |= {file.name: file.read_bytes() for file in files if file.exists()}
    for word in words:
        for name, content in places.items():
            assert not re.search(rf"\b{word}\b".encode(), content), (
                f"{word} was deleted and is still in {name}"
            )
        assert not engine.search(word), f"{word} was deleted and is still found"


def _check_isolation(
    make_policy: Callable[[], MemoryPolicy], extended: bool, told: Sequence[Message]
) -> None:
    """One user's memory is the same whether or not another one uses the bank."""
    other = [Message(message.text.replace("zq", "yy"), "Ben", message.time) for message in reversed(told)]
    both, alone = (MemoryStore(MemoryEngine(extended=extended), make_policy) for _ in range(2))
    for mine, theirs in zip(told, other, strict=True):
        _told(both, [theirs], user_id="ben")
        for store in (both, alone):
            _told(store, [mine], user_id="ann")
    for query in [*WORDS[:6], "zq1x", "yy1x"]:
        for view in VIEWS:
            found = [
                [
                    HANDLE.sub("", hit.entry.text)
                    for hit in store.search(query, 1000, views=[view], user_id="ann")
                ]
                for store in (both, alone)
            ]
            assert found[0] == found[1], f"another user changes what {query!r} finds"
    assert not any("yy" in hit.entry.text for hit in both.search("yy1x", user_id="ann")), (
        "another user's text is found"
    )
    theirs = both.get_all(user_id="ben")
    for entry in theirs[:5]:
        for op in (MemoryOp.update(entry.id, "mine now"), MemoryOp.delete(entry.id)):
            assert not both.engine.apply(op, scope=Scope("ann")).ok, "another user's entry can be changed"
    assert both.get_all(user_id="ben") == theirs


def _ranking(engine: MemoryEngine, query: str, view: str) -> list[str]:
    return [hit.entry.id for hit in engine.search(query, 20, views=[view], scope=ROOT)]
