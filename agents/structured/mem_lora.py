"""MemLoRA: mem0's pipeline on one small model, with an adapter of its own for each of the three steps.

Bini et al. 2025, arXiv 2512.04763. The adapters are distilled there from a large model's answers, each alone;
`distillation_examples` makes that training set of a recording.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from memgym.agents.policy_agent import PolicyAgent
from memgym.agents.structured.adapters import adapter_files, adapter_nbytes, load_adapters
from memgym.agents.structured.mem0 import Mem0Policy
from memgym.agents.structured.steps_facts import DECIDE_OPS, EXTRACT_FACTS, Decisions
from memgym.agents.structured.system import system
from memgym.errors import UnknownName
from memgym.llm import LLM, LLMReader, Step
from memgym.llm.channels import DATA_END, DATA_START
from memgym.llm.errors import CassetteCorrupt, LLMOutputInvalid
from memgym.llm.reader import ANSWER, CHOOSE
from memgym.memory.embed import Embedder, HashingEmbedder
from memgym.memory.ops import MemoryOp
from memgym.memory.policy import MemoryPolicy, MemoryView, Message, ReadResult, Search

__all__ = ["STEPS", "MemLoRAPolicy", "distillation_examples", "mem_lora", "without_noops"]

STEPS: Mapping[str, Step[Any, Any]] = {
    step.name: step for step in (EXTRACT_FACTS, DECIDE_OPS, ANSWER, CHOOSE)
}
"""What is routed: extraction, update, and the answer, open or by choice."""


class MemLoRAPolicy(MemoryPolicy):
    """mem0's store; the answer is a step as well, and the adapters' bytes are memory.

    Args:
        llm: carries out `STEPS`, as a rule each by another adapter.
        embedder: makes the vectors that memories are compared by.
        adapter_bytes: of all adapters.
    """

    def __init__(self, llm: LLM, embedder: Embedder, adapter_bytes: int = 0) -> None:
        self.store = Mem0Policy(llm, embedder)
        self.reader = LLMReader(llm)
        self.adapter_bytes = adapter_bytes

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        """As mem0."""
        return self.store.write(message, view)

    def read(self, question: Message, search: Search) -> ReadResult:
        """What mem0 finds, and the answer to it."""
        hits = self.store.read(question, search).hits
        return ReadResult(hits, self.reader(question.text, hits, question.choices))

    def nbytes(self) -> int:
        """mem0's ledger, and the adapters."""
        return self.store.nbytes() + self.adapter_bytes


def without_noops(output: Decisions) -> Decisions:
    """What a small model is taught of an update: operations that do something, or the one that does nothing.

    >>> from memgym.agents.structured.steps_facts import Decision
    >>> made = Decisions(operations=(Decision(event="NOOP", number=3), Decision(event="ADD", text="tea")))
    >>> [one.event for one in without_noops(made).operations]
    ['ADD']
    """
    kept = tuple(one for one in output.operations if one.event != "NOOP")
    return Decisions(operations=kept or output.operations[:1])


def distillation_examples(recording: str | Path, step: str) -> Iterator[dict[str, list[dict[str, str]]]]:
    """Examples of one step to train its adapter on, from what a teacher answered (`memgym.llm.Cassette`).

    An answer is taken where it fits the step; its reasoning is left out, and of an update what does nothing.

    Args:
        recording: the file.
        step: one of `STEPS`.

    Yields:
        ``{"prompt": [system, user], "completion": [assistant]}`` with messages of ``role`` and ``content``, as TRL's
        `SFTTrainer` takes them.

    Raises:
        UnknownName: no such step.
        CassetteCorrupt: a line is not of a recording.
    """
    if step not in STEPS:
        raise UnknownName(f"no step {step!r} to distil. Known: {', '.join(STEPS)}.")
    wanted = STEPS[step]
    with Path(recording).open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                value = json.loads(line)
                if value["step"] != step:
                    continue
                messages = [
                    {"role": m["role"], "content": m["content"]} for m in value["request"]["messages"][:2]
                ]
                data = messages[1]["content"].removeprefix(DATA_START).removesuffix(DATA_END)
                x = wanted.input.model_validate_json(data)
                text = value["completion"]["text"]
            except (ValueError, LookupError, TypeError) as error:
                raise CassetteCorrupt(
                    f"{recording}, line {number}: not a recorded answer ({error!r})."
                ) from None
            try:
                output = wanted.parse(text, x)
            except LLMOutputInvalid:
                continue  # a teacher that failed teaches nothing
            if isinstance(output, Decisions):
                output = without_noops(output)
            answer = {"role": "assistant", "content": output.model_dump_json()}
            yield {"prompt": messages, "completion": [answer]}


def mem_lora(llm: str = "rules", adapters: Mapping[str, str] | None = None) -> PolicyAgent:
    """MemLoRA: extracts facts, keeps them up to date and answers, each step by an adapter of its own.

    Args:
        llm: who carries out all steps; with adapters, ``"local:FOLDER_OR_ID"``, the small model.
        adapters: folders that peft saved, for each of `STEPS`; ``"choose"`` may be left out where ``"answer"`` is.

    Raises:
        UnknownName: adapters for other steps, for some of them only, or of a model that is not local.
    """
    folders = dict(adapters or {})
    if folders:
        folders.setdefault("choose", folders.get("answer", ""))
        if set(folders) != set(STEPS) or not all(folders.values()):
            raise UnknownName(f"adapters are for the steps {', '.join(STEPS)}, not for {', '.join(folders)}.")
        if not llm.startswith("local:"):
            raise UnknownName(f"adapters go into a model on this machine, 'local:FOLDER_OR_ID', not {llm!r}.")
    nbytes = adapter_nbytes(folders)
    agent = system(
        "mem-lora",
        lambda backend: MemLoRAPolicy(backend, HashingEmbedder(256), nbytes),
        llm=llm,
        backend=load_adapters(llm.removeprefix("local:"), folders) if folders else None,
        steps=tuple(STEPS.values()),
        description="Extracts facts, keeps them up to date and answers, each step by an adapter of its own.",
        url="https://arxiv.org/abs/2512.04763",
        deviations="The pipeline is mem0's of release 1, with vectors that hash pieces of words. No adapters are "
        "published or shipped: without adapters, whoever carries out the steps does so unadapted. Bytes of adapters "
        "count as memory, those of the model under them do not. No pictures. The oldest memories go where the budget "
        "is full.",
        adapters=folders,
        adapter_bytes=nbytes,
    )
    agent.files = tuple(file for folder in sorted(set(folders.values())) for file in adapter_files(folder))
    return agent
