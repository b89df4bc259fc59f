"""A language model that manages a memory: what it is shown, how its reply is read, and how it is asked in batches.

After Memory-R1 (Yan et al. 2025, arXiv 2508.19828) and Mem-alpha (Wang et al. 2025, arXiv 2509.25911): for each
turn of a conversation the model sees the bank and the turn, in a context of their own, and replies with one
operation. Both training (`memgym.baselines.manager`) and playing (`memory_manager`) ask it through `MemoryManager`,
so that there is one way to render a prompt and one to read a reply.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from memgym.agents.llm.chat import ChatModel, ids_by_number, numbered
from memgym.agents.llm.forms import FORMS
from memgym.agents.llm.own_words import own_words_reader
from memgym.agents.policy_agent import PolicyAgent
from memgym.agents.structured.adapters import adapter_files
from memgym.agents.structured.ledger import SPOKEN
from memgym.core.agent import AgentCard
from memgym.core.arguments import check_choice
from memgym.errors import InvalidOperation
from memgym.llm.channels import strip_text
from memgym.memory.lexical import stems
from memgym.memory.ops import MemoryOp, OpKind
from memgym.memory.policy import MemoryPolicy, MemoryView, Message

__all__ = [
    "INSTRUCTION",
    "Decision",
    "ManagerPolicy",
    "MemoryManager",
    "Shown",
    "manager_agent",
    "memory_manager",
    "read_operation",
    "show",
]

INSTRUCTION = FORMS["json"].instruction

FIELDS = {"ADD": (), "UPDATE": ("id",), "DELETE": ("id",), "NOOP": ()}  # that an operation must have
CANDIDATES = 4  # entries that the model is shown
REWORDED = ("ADD", "UPDATE")  # may have a text
NOOP = MemoryOp.noop()
NOBODY = "(read) "  # before what was read and looks as if somebody had said it


class Shown(NamedTuple):
    """What the model is shown of one moment: who says what, and (id, text) of the entries that it may be about.

    The model sees the entries numbered from 1, so that what it has to write stays as short in a long conversation.
    """

    speaker: str
    said: str
    memory: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """The entry that stores what is said as it stands; what nobody says cannot pass for what somebody said."""
        if self.speaker:
            return f"{self.speaker}: {self.said}"
        return f"{NOBODY}{self.said}" if SPOKEN.match(self.said) else self.said


def show(speaker: str, said: str, entries: Iterable[tuple[str, str]]) -> Shown:
    """What the model is shown when something is said.

    As in Memory-R1, memories are retrieved first: entries of the same speaker that share a content word with what
    is said, those with most of them first, the newest of equals, at most `CANDIDATES`. A text that nobody says is
    shown none that somebody has told: an order in a document is about nothing that people said.

    Args:
        speaker: who says it, ``""`` for nobody.
        said: what.
        entries: (id, text) of what the bank holds, oldest first.
    """
    told, found = stems(said), []
    for age, (id, text) in enumerate(entries):
        name, colon, rest = text.partition(": ")
        if not colon:
            name, rest = "", text
        if name == speaker and (shared := len(told & stems(rest))):
            found.append((-shared, -age, id, text))
    return Shown(speaker, said, tuple((id, text) for *_, id, text in sorted(found)[:CANDIDATES]))


class Decision(NamedTuple):
    """What the model has decided: NOOP where its reply could not be read, and then `malformed` says why."""

    op: MemoryOp
    malformed: str = ""


def read_operation(reply: str, moment: Shown, reserved: Iterable[str] = (), form: str = "json") -> Decision:
    """Read a reply, which has the fields of one operation and no others.

    Args:
        reply: what the model wrote, without its end token.
        moment: what it was shown.
        reserved: delimiters that no text of an operation may hold, besides the usual ones.
        form: how it is written, one of `memgym.agents.llm.forms.FORMS`.

    >>> moment = Shown("Maya", "I live in Oslo.", (("m7", "Maya: I live in Rome."),))
    >>> read_operation('{"op": "UPDATE", "id": "1"}', moment).op.id
    'm7'
    >>> read_operation("I would update it.", moment).malformed
    'not JSON'
    """
    try:
        value = FORMS[form].read(reply)
    except ValueError as error:
        return Decision(NOOP, str(error))
    kind = value.get("op") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in FIELDS:
        return Decision(NOOP, f"no operation among {', '.join(FIELDS)}")
    parts = FORMS[form].parts if kind == "ADD" else ()
    may = {"op", *FIELDS[kind], *(("text",) if kind in REWORDED else ()), *(("part",) if parts else ())}
    if not {"op", *FIELDS[kind]} <= set(value) <= may or not all(isinstance(v, str) for v in value.values()):
        return Decision(NOOP, f"{kind} has {' and '.join(sorted(may))}, each a text")
    numbers = ids_by_number(moment.memory)
    if "id" in value and value["id"] not in numbers:
        return Decision(NOOP, "an id that the memory does not have")
    text = value.get("text", moment.text)
    if "text" in value and strip_text(text, reserved) != text:
        return Decision(NOOP, "a delimiter in the text")
    if SPOKEN.match(text) and not text.startswith(f"{moment.speaker}: " if moment.speaker else NOBODY):
        return Decision(NOOP, "words of somebody else")
    attrs = {"kind": value.get("part", parts[0])} if parts else {}
    op = MemoryOp(
        OpKind.parse(kind), numbers.get(value.get("id", ""), ""), text if kind in REWORDED else "", attrs
    )
    try:
        return Decision(op.checked())
    except InvalidOperation as error:
        return Decision(NOOP, str(error))


@dataclass
class MemoryManager(ChatModel):
    """Asks a language model for operations.

    Attributes:
        form: how operations are written, one of `memgym.agents.llm.forms.FORMS`, whose instruction is the default.

    Raises:
        ValueError: no such form.
    """

    form: str = "json"

    def __post_init__(self) -> None:
        check_choice("form", self.form, FORMS)
        self.instruction = self.instruction or FORMS[self.form].instruction
        super().__post_init__()

    def prompts(self, moments: Sequence[Shown]) -> list[list[int]]:
        """Token ids of the prompts."""
        return self.prompts_of([_data(moment) for moment in moments])

    def reply(self, op: MemoryOp, moment: Shown) -> list[int]:
        """Token ids of the shortest reply that stands for an operation, its end token included."""
        value = {"op": op.kind.name}
        if op.id:
            value["id"] = str([id for id, _ in moment.memory].index(op.id) + 1)
        if op.text not in ("", moment.text):
            value["text"] = op.text
        if op.attrs:
            value["part"] = str(op.attrs["kind"])
        return self.ids(FORMS[self.form].write(value))

    def read(self, reply: Sequence[int], moment: Shown) -> Decision:
        """The operation that a reply stands for; one without its end token was cut off and cannot be read."""
        text = self.text(reply)
        if text is None:
            return Decision(NOOP, "cut off")
        return read_operation(text, moment, self.reserved, self.form)

    def decide(self, moments: Sequence[Shown]) -> list[Decision]:
        """The greedy decision of each moment."""
        written = self.generate(self.prompts(moments))
        decisions = [self.read(replies[0], moment) for replies, moment in zip(written, moments, strict=True)]
        self.count_failures(decision.malformed for decision in decisions)
        return decisions


def _data(moment: Shown) -> dict[str, Any]:
    return {"speaker": moment.speaker, "said": moment.said, "memory": numbered(moment.memory)}


class ManagerPolicy(MemoryPolicy):
    """One operation for each message, by a language model.

    Args:
        manager: who decides.
    """

    def __init__(self, manager: MemoryManager) -> None:
        self.manager = manager

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        """The model's operation; nothing where its reply cannot be read, which its ledger counts."""
        entries = sorted(view.entries, key=lambda entry: int(entry["id"][1:]))
        shown = show(message.speaker, message.text, ((entry["id"], entry["text"]) for entry in entries))
        (decision,) = self.manager.decide([shown])
        return [] if decision.op == NOOP else [decision.op]


def memory_manager(
    model: str, instruction: str = "", device: str = "cpu", adapter: str | None = None, form: str = "json"
) -> PolicyAgent:
    """A language model decides ADD, UPDATE, DELETE or NOOP for each turn.

    Args:
        model: id on the Hugging Face hub, or a folder.
        instruction: what it was trained with; see `MemoryManager`.
        device: where it runs, e.g. ``"cpu"`` or ``"cuda"``.
        adapter: folder of an adapter that peft saved; see `memgym.baselines.train_memory_manager`.
        form: how it writes operations, ``"json"``, ``"text"`` or ``"tools"``.
    """
    manager = MemoryManager.load(model, device, adapter, instruction=instruction, form=form)
    config: dict[str, Any] = {"model": model, "instruction": manager.instruction}
    if adapter:
        config["adapter"] = adapter
    if form != "json":
        config["form"] = form
    return manager_agent(manager, config, adapter_files(adapter) if adapter else ())


def manager_agent(
    manager: MemoryManager, config: Mapping[str, Any], files: Sequence[Path] = ()
) -> PolicyAgent:
    """The agent of a manager.

    Args:
        manager: who decides.
        config: how the agent was made, for its card.
        files: that it was made of.
    """
    card = AgentCard(
        name="memory-manager",
        kind="llm",
        description="A language model decides ADD, UPDATE, DELETE or NOOP for each turn.",
        url="https://arxiv.org/abs/2508.19828",
        parameters=sum(weights.numel() for weights in manager.model.parameters()),
        config=dict(config),
    )
    agent = PolicyAgent(
        card, lambda: ManagerPolicy(manager), own_words_reader, lambda: manager.ledger.total.to_dict()
    )
    agent.files = tuple(files)
    return agent
