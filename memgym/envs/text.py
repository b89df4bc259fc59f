"""The base of all text tasks: a stream of items and questions over a memory bank that the environment owns."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from itertools import islice
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces

from memgym.core.env import MemoryEnv, check_split
from memgym.errors import InvalidOperation
from memgym.memory import Hit, MemoryEngine, MemoryEntry, MemoryOp, OpKind, as_action
from memgym.memory.lexical import content_words, stems
from memgym.memory.ops import dump_attrs
from memgym.memory.retrieval import answer_search
from memgym.readers import Reader, make_reader
from memgym.scoring import score_answer
from memgym.spaces import UnicodeText, entry_space, op_space
from memgym.stream import Item, Question, Verdict

__all__ = ["Phase", "Reader", "TextMemoryEnv"]

MAX_OPS = 64  # operations in one action; more are refused, so that one action cannot stall the environment
MAX_K = 100  # hits of one SEARCH
READER_K = 10  # entries that a built-in reader sees
VIEW_K = 32  # entries considered for the view of a bank that does not fit
MAX_CREDIT = 256  # items that one entry can hold for the evidence recall, the newest; keeps versions small
TRANSCRIPT_LINES = 12  # what a rendered frame shows; older lines are dropped so that memory stays flat
UNLIMITED = np.iinfo(np.int64).max
TEXT = UnicodeText()


class Phase(IntEnum):
    """What the current observation is."""

    ITEM = 0
    QUESTION = 1
    END = 2


ON_ITEM, ON_QUESTION, AT_END = (np.int64(phase) for phase in Phase)  # as observations say it


class TextMemoryEnv(MemoryEnv[dict[str, Any], dict[str, Any]]):
    """Items stream by; questions come in between and at the end; only what is in the bank stays.

    A subclass gives `_stream` and, where the usual scoring does not apply, `_score`. One step is one item or
    one question; a SEARCH keeps the environment where it is and its hits are in the next observation.

    On a question with evidence, ``info["evidence_recall"]`` is the share of the evidence items that the entries
    looked at hold: those found by SEARCH or by the reader, otherwise those in view. An entry holds an item
    where an ADD, UPDATE or MERGE wrote its text while the item was in view, and that text has at least half of the
    stems of the item's content words (`memgym.memory.lexical.stems`). With each UPDATE or MERGE, the items held so
    far are measured again on the new text. So the number follows words: a paraphrase in other words, or in another
    language, holds nothing.

    Args:
        memory_budget: bytes that the bank may hold; None for no limit.
        view_bytes: bytes of the bank that an observation shows: all of it where it fits, otherwise the
            entries nearest to the current text.
        max_searches: SEARCHes allowed on one item or question.
        ops: ``"core"`` for ADD, UPDATE, DELETE, NOOP and SEARCH; ``"extended"`` for every kind of `OpKind`, on a
            bank that is extended (`memgym.memory.MemoryEngine`), and for SEARCHes of its views and edges
            (`memgym.memory.retrieval.answer_search`).
        reader: None leaves answers to the agent; ``"extractive"``, or another name of `memgym.readers.READERS`,
            answers from the bank, so that a manager alone can be trained; a callable plugs in any other.
        split: ``"train"`` or ``"test"``.
        render_mode: None, ``"ansi"`` or ``"human"``.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "human"], "render_fps": 4}
    family: ClassVar[str] = "text"
    metric: ClassVar[str] = "score"

    def __init__(
        self,
        *,
        memory_budget: int | None = 4096,
        view_bytes: int = 4096,
        max_searches: int = 4,
        ops: str = "core",
        reader: str | Reader | None = None,
        split: str = "train",
        render_mode: str | None = None,
    ) -> None:
        for name, value in (("memory_budget", memory_budget or 0), ("view_bytes", view_bytes)):
            if value < 0:
                raise ValueError(f"{name} is at least 0, not {value}.")
        if max_searches < 0:
            raise ValueError(f"max_searches is at least 0, not {max_searches}.")
        if ops not in ("core", "extended"):
            raise ValueError(f"ops is 'core' or 'extended', not {ops!r}.")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode is one of {self.metadata['render_modes']}, not {render_mode!r}.")
        self.memory_budget = memory_budget
        self.view_bytes = view_bytes
        self.max_searches = max_searches
        self.ops = ops
        self.reader: Reader | None = make_reader(reader) if isinstance(reader, str) else reader
        self.split = check_split(split)
        self.render_mode = render_mode
        self.observation_space = spaces.Dict(
            phase=spaces.Discrete(len(Phase)),
            text=UnicodeText(),
            speaker=UnicodeText(256),
            time=UnicodeText(64),
            choices=spaces.Sequence(UnicodeText()),
            memory=spaces.Sequence(entry_space()),
            hits=spaces.Sequence(entry_space()),
            bytes_left=spaces.Box(0, UNLIMITED, (), np.int64),
        )
        kinds = op_space(extended=ops == "extended")
        self.action_space = spaces.Dict(ops=spaces.Sequence(kinds), answer=UnicodeText())
        self.bank = MemoryEngine(memory_budget, extended=ops == "extended")
        self._held: dict[str, dict[str, frozenset[str]]] = {}  # entry id -> item id -> the item's stems
        self._now: Item | Question | None = None

    # ------------------------------------------------------------------ for subclasses

    @classmethod
    def has_canary(cls, kwargs: Mapping[str, Any]) -> bool:
        """Whether a registered suite has a canary of a task with these arguments.

        A task that says so takes ``canary=True``, with which nothing is told that is asked, and has a method
        `canary_chance`: the best expected score in it for who sees the stream alone.
        """
        return False

    @abstractmethod
    def _stream(self, key: int, episode: int) -> Iterator[Item | Question]:
        """The items and questions of one episode, drawn from `key` alone; consumed lazily."""

    def _stream_from(self, key: int, episode: int, start: int) -> Iterator[Item | Question]:
        """The stream from event number `start` on; to be overridden where it need not be drawn up to there."""
        return islice(self._stream(key, episode), start, None)

    def _told(self, item: Item) -> dict[str, frozenset[str]]:
        """What of an item can be held, by the id that evidence names it by, with its stems: all in one."""
        return {item.id: stems(item.text)}

    def _pinned(self) -> list[MemoryEntry]:
        """Entries that are in view whatever the text, besides those that fit in `view_bytes`: none."""
        return []

    def _score(self, question: Question, answer: str) -> Verdict:
        """Score one answer."""
        return score_answer(question, answer)

    # ------------------------------------------------------------------ Gymnasium

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode with an empty bank."""
        self._key = self._begin(seed, options)
        self.bank = MemoryEngine(self.memory_budget, extended=self.ops == "extended")
        self._held = {}
        self._events = iter(self._stream(self._key, self.episode))
        self._num_events = 0
        self._view: tuple[dict[str, Any], ...] | None = None
        self._shown_as: dict[str, tuple[MemoryEntry, dict[str, Any]]] = {}  # what was in view last
        self._steps = 0
        self._scores: list[float] = []
        self._num_correct = 0
        self._memory_ops = 0
        self._transcript: list[tuple[str, str]] = []
        self._advance()
        return self._observe(), self._info([])

    def step(self, action: dict[str, Any]) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Apply the operations; then stay (after a SEARCH) or take the answer and move on.

        Raises:
            InvalidOperation: the action is not ``{"ops": [...], "answer": "..."}``. A single operation that
                cannot be read or carried out is refused and named in ``info["refused"]``.
        """
        ops, answer = self._read_action(action)
        now = self._now
        refused, searched = self._apply(ops)
        self._steps += 1
        if searched:
            return self._observe(), 0.0, False, False, self._info(refused)
        reward, outcome = 0.0, {}
        if isinstance(now, Question):
            reward, outcome = self._judge(now, answer)
        self._advance()
        info = self._info(refused) | outcome
        done = self._now is None
        if done:
            questions = len(self._scores)
            info["score"] = sum(self._scores) / questions if questions else 0.0
            info["success"] = questions > 0 and self._num_correct == questions
        return self._observe(), reward, done, False, info

    def render(self) -> str | None:
        """The transcript with the memory bank beside it; ``"human"`` prints it."""
        from memgym.envs.text_render import draw_text_task

        if self.render_mode is None:
            return None
        frame = draw_text_task(self._transcript, self._now, self.bank)
        if self.render_mode == "human":
            print(frame, flush=True)
            return None
        return frame

    # ------------------------------------------------------------------ oracle

    def oracle_state(self) -> dict[str, Any]:
        """The current question with its answer and evidence; empty on an item."""
        if not isinstance(self._now, Question):
            return {}
        question = self._now
        return {"answer": question.answer, "evidence": question.evidence, "type": question.type}

    def oracle_action(self) -> dict[str, Any]:
        """The right answer on a question, nothing on an item."""
        return as_action(answer=self.oracle_state().get("answer", ""))

    # ------------------------------------------------------------------ inside

    def _read_action(self, action: Any) -> tuple[Sequence[Any], str]:
        if self._now is None:
            raise InvalidOperation("the episode is over: call reset().")
        if not isinstance(action, Mapping) or "ops" not in action or "answer" not in action:
            raise InvalidOperation(
                "an action is {'ops': [...], 'answer': '...'}; see memgym.memory.as_action."
            )
        ops, answer = action["ops"], action["answer"]
        if not isinstance(ops, Sequence) or isinstance(ops, str) or not isinstance(answer, str):
            raise InvalidOperation("'ops' of an action is a sequence and 'answer' is text.")
        if answer and not TEXT.contains(answer):
            raise InvalidOperation(f"'answer' is valid Unicode of at most {TEXT.max_length} characters.")
        return ops, answer

    def _apply(self, ops: Sequence[Any]) -> tuple[list[dict[str, Any]], bool]:
        """Carry out operations; return what was refused, and whether a SEARCH was answered."""
        if not ops:
            return [], False
        refused: list[dict[str, Any]] = []
        hits: list[Hit] = []
        searched = False
        for i, raw in enumerate(ops):
            reason = ""
            if i >= MAX_OPS:
                reason = f"more than {MAX_OPS} operations in one action"
            else:
                try:
                    op = MemoryOp.parse(raw)
                    if op.kind is OpKind.SEARCH:
                        if self._searches_left == 0:
                            reason = f"more than {self.max_searches} searches on one step"
                        else:
                            hits += answer_search(self.bank, op, MAX_K)
                            self._searches_left -= 1
                            searched = True
                    else:
                        reason = self._write(op)
                except InvalidOperation as error:
                    reason = str(error)
            if reason:
                refused.append({"op": i, "reason": reason})
        if searched:
            self._hits = tuple(_shown(hit.entry, hit.score) for hit in hits)
            self._found = [*(self._found or ()), *(hit.entry for hit in hits)]
        return refused, searched

    def _write(self, op: MemoryOp) -> str:
        """Carry out one operation on the bank; return why not, ``""`` where it was."""
        held = self._holds(op)
        applied = self.bank.apply(op, provenance=tuple(held), step=self._steps)
        if applied.ok and op.kind is not OpKind.NOOP:
            self._memory_ops += 1
            self._view = None
            self._keep_held(op.kind, applied.id, held)
        return applied.reason

    def _keep_held(self, kind: OpKind, id: str, held: dict[str, frozenset[str]]) -> None:
        """Remember what the entry holds that an operation has written, or forget what it has removed."""
        if kind is OpKind.ROLLBACK:
            there = self.bank.get(id).provenance
            held = {item: told for item, told in self._held.get(id, {}).items() if item in there}
        elif kind not in (OpKind.ADD, OpKind.UPDATE, OpKind.DELETE, OpKind.MERGE):
            return
        self._held.pop(id, None)
        if held:
            self._held[id] = held
        if kind is OpKind.DELETE and self.ops == "extended":  # it may have reached other entries
            self._held = {id: held for id, held in self._held.items() if self.bank.has_text(id)}

    def _holds(self, op: MemoryOp) -> dict[str, frozenset[str]]:
        """Items, with their stems, of which the text of an ADD, UPDATE or MERGE says at least half."""
        if self.memory_budget is not None and len(op.text) > self.memory_budget:
            return {}  # will be refused
        items: dict[str, frozenset[str]] = {}
        for id in self.bank.replaced(op):
            items |= self._held.get(id, {})
        if isinstance(self._now, Item) and op.kind in (OpKind.ADD, OpKind.UPDATE, OpKind.MERGE):
            if self._told_now is None:
                self._told_now = self._told(self._now)
            items |= self._told_now
        said = stems(op.text) if items else frozenset()
        held = [(id, told) for id, told in items.items() if told and 2 * len(told & said) >= len(told)]
        return dict(held[-MAX_CREDIT:])

    def _judge(self, question: Question, answer: str) -> tuple[float, dict[str, Any]]:
        if self.reader is not None:
            hits = self.bank.search(question.text, READER_K)
            self._found = [hit.entry for hit in hits]
            answer = self.reader(
                question.text, [_shown(hit.entry, hit.score) for hit in hits], question.choices
            )
        verdict = self._score(question, answer)
        self._scores.append(verdict.score)
        self._num_correct += verdict.is_correct
        self._transcript[-1:] = [("question", f"{question.text}  →  {answer or '(no answer)'}")]
        outcome = {
            "question_type": question.type,
            "question_score": verdict.score,
            "is_correct": verdict.is_correct,
            **verdict.metrics,
        }
        if question.evidence:
            looked_at = self._viewed if self._found is None else self._found
            seen = {id for entry in looked_at for id in entry.provenance}
            found = sum(id in seen for id in question.evidence)
            outcome["evidence_recall"] = found / len(question.evidence)
        return verdict.score, outcome

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_events"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "_key" in state:  # a stream cannot be copied, but drawn again up to where it was
            self._events = self._stream_from(self._key, self.episode, self._num_events)

    def _advance(self) -> None:
        self._now = next(self._events, None)
        self._num_events += 1
        self._told_now: dict[str, frozenset[str]] | None = None  # of this item, once an operation needs it
        self._searches_left = self.max_searches
        self._hits: tuple[dict[str, Any], ...] = ()
        if self.bank.nbytes > self.view_bytes:  # otherwise all of it is in view, whatever the text
            self._view = None
        self._found: list[MemoryEntry] | None = None  # what searches on this step have returned
        if isinstance(self._now, Item):
            speaker = f"{self._now.speaker}: " if self._now.speaker else ""
            self._transcript.append(("item", speaker + self._now.text))
        elif isinstance(self._now, Question):
            self._transcript.append(("question", self._now.text))
        del self._transcript[:-TRANSCRIPT_LINES]

    def _memory_view(self, text: str) -> tuple[dict[str, Any], ...]:
        """All entries where they fit in `view_bytes`, otherwise the nearest ones that do."""
        if self.bank.active_nbytes <= self.view_bytes:
            entries = self.bank.get_all()
        else:
            entries, room = self._pinned(), self.view_bytes
            pinned = {entry.id for entry in entries}
            nearest = " ".join(content_words(text))
            for hit in self.bank.search(nearest, VIEW_K) if room else ():
                if hit.entry.nbytes <= room and hit.entry.id not in pinned:
                    entries.append(hit.entry)
                    room -= hit.entry.nbytes
        self._viewed = entries
        before, self._shown_as = self._shown_as, {}
        for entry in entries:  # most are as they were at the last look
            known = before.get(entry.id)
            self._shown_as[entry.id] = known if known and known[0] is entry else (entry, _shown(entry))
        return tuple([shown for _, shown in self._shown_as.values()])

    def _observe(self) -> dict[str, Any]:
        now = self._now
        text = now.text if now else ""
        if self._view is None:  # after a change, or on a new item
            self._view = self._memory_view(text)
        left = self.bank.bytes_left
        phase = AT_END if now is None else ON_QUESTION if isinstance(now, Question) else ON_ITEM
        return {
            "phase": phase,
            "text": text,
            "speaker": now.speaker if isinstance(now, Item) else "",
            "time": now.time if now else "",
            "choices": now.choices if isinstance(now, Question) else (),
            # who keeps observations must not find them changed by a later one: new objects every time
            "memory": tuple([{**entry, "score": np.zeros((), np.float32)} for entry in self._view]),
            "hits": self._hits,
            "bytes_left": np.array(UNLIMITED if left is None else left, np.int64),
        }

    def _info(self, refused: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "memory_bytes": self.bank.nbytes,
            "memory_ops": self._memory_ops,
            "refused": tuple(refused),
        }


def _shown(entry: MemoryEntry, score: float = 0.0) -> dict[str, Any]:
    return {
        "id": entry.id,
        "text": entry.text,
        "attrs": dump_attrs(entry.attrs),
        "score": np.array(score, np.float32),
    }
