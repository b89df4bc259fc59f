"""A language model that manages a memory: what it is shown, how its reply is read, and how it is asked in batches.

After Memory-R1 (Yan et al. 2025, arXiv 2508.19828) and Mem-alpha (Wang et al. 2025, arXiv 2509.25911): for each
turn of a conversation the model sees the bank and the turn, in a context of their own, and replies with one
operation. Both training (`memgym.baselines.manager`) and playing (`memory_manager`) ask it through `MemoryManager`,
so that there is one way to render a prompt and one to read a reply.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

from memgym.agents.llm.forms import FORMS
from memgym.agents.llm.lora import load_lora
from memgym.agents.llm.own_words import own_words_reader
from memgym.agents.policy_agent import PolicyAgent
from memgym.agents.structured.adapters import adapter_files
from memgym.core.agent import AgentCard
from memgym.core.arguments import check_choice
from memgym.errors import DependencyMissing, InvalidOperation
from memgym.llm.channels import data_message, strip_text
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


class Shown(NamedTuple):
    """What the model is shown of one moment: who says what, and (id, text) of the entries that it may be about.

    The model sees the entries numbered from 1, so that what it has to write stays as short in a long conversation.
    """

    speaker: str
    said: str
    memory: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """The entry that stores what is said as it stands."""
        return f"{self.speaker}: {self.said}" if self.speaker else self.said


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
    may = {"op", *FIELDS[kind], *(("text",) if kind in REWORDED else ())}
    if not {"op", *FIELDS[kind]} <= set(value) <= may or not all(isinstance(v, str) for v in value.values()):
        return Decision(NOOP, f"{kind} has {' and '.join(sorted(may))}, each a text")
    numbers = {str(number): id for number, (id, _) in enumerate(moment.memory, 1)}
    if "id" in value and value["id"] not in numbers:
        return Decision(NOOP, "an id that the memory does not have")
    text = value.get("text", moment.text)
    if "text" in value and strip_text(text, reserved) != text:
        return Decision(NOOP, "a delimiter in the text")
    op = MemoryOp(OpKind.parse(kind), numbers.get(value.get("id", ""), ""), text if kind in REWORDED else "")
    try:
        return Decision(op.checked())
    except InvalidOperation as error:
        return Decision(NOOP, str(error))


@dataclass
class MemoryManager:
    """Asks a language model for operations.

    Attributes:
        model: of transformers, for causal language modelling.
        tokenizer: with a chat template and a padding token.
        instruction: the system message; by default the form's.
        max_new_tokens: of a reply; a longer one is cut off, and then cannot be read.
        batch: prompts generated at the same time.
        form: how operations are written, one of `memgym.agents.llm.forms.FORMS`.
        adapters: the same model as a `peft.PeftModel`, where it has adapters.

    Raises:
        ValueError: no such form.
    """

    model: Any
    tokenizer: Any
    instruction: str = ""
    max_new_tokens: int = 64
    batch: int = 256
    form: str = "json"
    adapters: Any = None

    def __post_init__(self) -> None:
        check_choice("form", self.form, FORMS)
        self.instruction = self.instruction or FORMS[self.form].instruction
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.end = self.tokenizer.eos_token_id
        self.reserved = tuple(sorted(set(self.tokenizer.all_special_tokens)))

    @classmethod
    def load(
        cls, model: str, device: str = "cpu", adapter: str | None = None, **options: Any
    ) -> "MemoryManager":
        """A manager with a model of the Hugging Face hub or of a folder.

        Args:
            model: id or folder.
            device: where it runs.
            adapter: folder of an adapter that peft saved, which is put in.
            options: further attributes.

        Raises:
            DependencyMissing: transformers or, for an adapter, peft is not installed.
            WeightsInvalid: the folder holds no adapter in safetensors.
        """
        try:
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError:
            raise DependencyMissing.for_extra("transformers", "llm,agents", "A memory manager") from None
        network: Any = AutoModelForCausalLM.from_pretrained(model)
        network = network.to(device)
        tokenizer = AutoTokenizer.from_pretrained(model)
        if adapter is None:
            return cls(network.eval(), tokenizer, **options)
        adapters = load_lora(network, adapter)
        return cls(adapters.get_base_model().eval(), tokenizer, adapters=adapters, **options)

    def prompts(self, moments: Sequence[Shown]) -> list[list[int]]:
        """Token ids of the prompts: the instruction, and all else as data, which cannot close its part."""
        chats = [
            [
                {"role": "system", "content": self.instruction},
                {"role": "user", "content": data_message(_data(moment), self.reserved).content},
            ]
            for moment in moments
        ]
        if not chats:
            return []
        texts = self.tokenizer.apply_chat_template(chats, add_generation_prompt=True, tokenize=False)
        return self.tokenizer(texts, add_special_tokens=False)["input_ids"]

    def reply(self, op: MemoryOp, moment: Shown) -> list[int]:
        """Token ids of the shortest reply that stands for an operation, its end token included."""
        value = {"op": op.kind.name}
        if op.id:
            value["id"] = str([id for id, _ in moment.memory].index(op.id) + 1)
        if op.text not in ("", moment.text):
            value["text"] = op.text
        text = FORMS[self.form].write(value)
        return [*self.tokenizer(text, add_special_tokens=False)["input_ids"], self.end]

    def read(self, reply: Sequence[int], moment: Shown) -> Decision:
        """The operation that a reply stands for; one without its end token was cut off and cannot be read."""
        if not reply or reply[-1] != self.end:
            return Decision(NOOP, "cut off")
        text = self.tokenizer.decode(reply[:-1], skip_special_tokens=False)
        return read_operation(text, moment, self.reserved, self.form)

    def generate(
        self, prompts: Sequence[Sequence[int]], samples: int = 1, seed: int | None = None
    ) -> list[list[list[int]]]:
        """Replies to each prompt, each with its end token where it has one.

        Args:
            prompts: token ids.
            samples: replies to each.
            seed: of the sampling at temperature 1; None for the greedy reply.
        """
        import torch

        replies: list[list[list[int]]] = [[] for _ in prompts]
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))  # hardly any padding
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            if seed is not None:
                torch.manual_seed(seed)
            for start in range(0, len(order), self.batch):
                some = order[start : start + self.batch]
                written = self._generate([list(prompts[i]) for i in some], samples, sample=seed is not None)
                for place, ids in enumerate(written):
                    replies[some[place // samples]].append(ids)
        return replies

    def decide(self, moments: Sequence[Shown]) -> list[Decision]:
        """The greedy decision of each moment."""
        written = self.generate(self.prompts(moments))
        return [self.read(replies[0], moment) for replies, moment in zip(written, moments, strict=True)]

    def _generate(self, prompts: list[list[int]], samples: int, *, sample: bool) -> list[list[int]]:
        from transformers import DynamicCache, GenerationConfig

        inputs = self.tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt")
        ids, mask = (inputs[name].to(self.model.device) for name in ("input_ids", "attention_mask"))
        config = GenerationConfig(
            max_new_tokens=self.max_new_tokens,
            do_sample=sample,
            eos_token_id=self.end,
            pad_token_id=self.tokenizer.pad_token_id,
            **({"temperature": 1.0, "top_k": 0, "top_p": 1.0} if sample else {}),
        )
        known: dict[str, Any] = {}
        if samples > 1:  # what the model has computed of a prompt serves all its samples
            name = "cache" if "cache" in signature(self.model.forward).parameters else "past_key_values"
            known[name] = DynamicCache(config=self.model.config)
            positions = (mask.cumsum(1) - 1).clamp(min=0)[:, :-1]
            self.model(ids[:, :-1], mask[:, :-1], positions, logits_to_keep=1, **known)
            known[name].batch_repeat_interleave(samples)
        ids, mask = ids.repeat_interleave(samples, 0), mask.repeat_interleave(samples, 0)
        out = self.model.generate(ids, attention_mask=mask, generation_config=config, **known)
        rows = out[:, ids.shape[1] :].tolist()
        return [row[: row.index(self.end) + 1] if self.end in row else row for row in rows]


def _data(moment: Shown) -> dict[str, Any]:
    memory = [{"id": str(number), "text": text} for number, (_, text) in enumerate(moment.memory, 1)]
    return {"speaker": moment.speaker, "said": moment.said, "memory": memory}


class ManagerPolicy(MemoryPolicy):
    """One operation for each message, by a language model.

    Args:
        manager: who decides.
    """

    def __init__(self, manager: MemoryManager) -> None:
        self.manager = manager
        self.malformed = 0

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        """The model's operation; nothing where its reply cannot be read, which is counted in `malformed`."""
        entries = sorted(view.entries, key=lambda entry: int(entry["id"][1:]))
        shown = show(message.speaker, message.text, ((entry["id"], entry["text"]) for entry in entries))
        (decision,) = self.manager.decide([shown])
        self.malformed += bool(decision.malformed)
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
        form: how it writes operations, ``"json"`` or ``"text"``.
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
    agent = PolicyAgent(card, lambda: ManagerPolicy(manager), own_words_reader)
    agent.files = tuple(files)
    return agent
