"""A language model that is asked about data in batches: prompts, replies in token ids, and what they say.

What asks it for something is a subclass: `memgym.agents.llm.manager.MemoryManager` for operations on a memory,
`memgym.agents.llm.answerer.MemoryAnswerer` for answers from one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from itertools import chain
from typing import Any, Self

from memgym.agents.llm.lora import load_lora
from memgym.errors import DependencyMissing
from memgym.llm.channels import data_message
from memgym.llm.local import bare_generation, end_tokens
from memgym.llm.usage import Ledger, Usage

__all__ = ["ChatModel", "ids_by_number", "numbered"]

STEP = "reply"  # in the ledger


def numbered(memory: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """Entries (id, text) as a model sees them: numbered from 1."""
    return [{"id": str(number), "text": text} for number, (_, text) in enumerate(memory, 1)]


def ids_by_number(memory: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The id of each entry (id, text), by the number under which a model sees it.

    >>> ids_by_number([("m7", "I live in Rome.")])
    {'1': 'm7'}
    """
    return {str(number): id for number, (id, _) in enumerate(memory, 1)}


@dataclass
class ChatModel:
    """A language model with an instruction, each time with other data.

    Attributes:
        model: of transformers, for causal language modelling.
        tokenizer: with a chat template and a padding token.
        instruction: the system message.
        max_new_tokens: of a reply; a longer one is cut off, and then cannot be read.
        batch: prompts generated at the same time.
        adapters: the same model as a `peft.PeftModel`, where it has adapters.
        ledger: what its replies have cost so far; one that cannot be read is a failure.
    """

    model: Any
    tokenizer: Any
    instruction: str = ""
    max_new_tokens: int = 64
    batch: int = 256
    adapters: Any = None
    ledger: Ledger = field(default_factory=Ledger)

    def __post_init__(self) -> None:
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.end = self.tokenizer.eos_token_id
        self.ends = end_tokens(self.model, self.tokenizer)
        self.reserved = tuple(sorted(set(self.tokenizer.all_special_tokens)))

    @classmethod
    def load(cls, model: str, device: str = "cpu", adapter: str | None = None, **options: Any) -> Self:
        """One with a model of the Hugging Face hub or of a folder.

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
            raise DependencyMissing.for_extra("transformers", "llm,agents", f"{cls.__name__}.load") from None
        network: Any = AutoModelForCausalLM.from_pretrained(model)
        network = network.to(device)
        tokenizer = AutoTokenizer.from_pretrained(model)
        if adapter is None:
            return cls(network.eval(), tokenizer, **options)
        adapters = load_lora(network, adapter)
        return cls(adapters.get_base_model().eval(), tokenizer, adapters=adapters, **options)

    def prompts_of(self, some: Sequence[Mapping[str, Any]]) -> list[list[int]]:
        """Token ids of the prompts: the instruction, and all else as data, which cannot close its part."""
        chats = [
            [
                {"role": "system", "content": self.instruction},
                {"role": "user", "content": data_message(data, self.reserved).content},
            ]
            for data in some
        ]
        if not chats:
            return []
        try:
            texts = self.tokenizer.apply_chat_template(chats, add_generation_prompt=True, tokenize=False)
        except Exception as error:  # templates are programs of the model's authors
            raise ValueError(f"the model's chat template refuses the messages: {error}") from error
        return self.tokenizer(texts, add_special_tokens=False)["input_ids"]

    def ids(self, reply: str) -> list[int]:
        """Token ids of a reply, its end token included."""
        return [*self.tokenizer(reply, add_special_tokens=False)["input_ids"], self.end]

    def text(self, reply: Sequence[int]) -> str | None:
        """What a reply says without its end token; None where it has none, and so was cut off."""
        if not reply or reply[-1] not in self.ends:
            return None
        return self.tokenizer.decode(reply[:-1], skip_special_tokens=False)

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
        asked, said = (sum(map(len, some)) for some in (prompts, chain.from_iterable(replies)))
        self.ledger.add(STEP, Usage(len(prompts) * samples, asked * samples, said))
        return replies

    def count_failures(self, malformed: Iterable[str]) -> None:
        """Enter into the ledger the replies that could not be read.

        Args:
            malformed: of each reply, why; ``""`` for one that could.
        """
        self.ledger.add(STEP, Usage(failures=sum(map(bool, malformed))))

    def _generate(self, prompts: list[list[int]], samples: int, *, sample: bool) -> list[list[int]]:
        from transformers import DynamicCache, GenerationConfig

        inputs = self.tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt")
        ids, mask = (inputs[name].to(self.model.device) for name in ("input_ids", "attention_mask"))
        config = GenerationConfig(
            max_new_tokens=self.max_new_tokens,
            do_sample=sample,
            eos_token_id=sorted(self.ends),
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
        with bare_generation(self.model):
            out = self.model.generate(ids, attention_mask=mask, generation_config=config, **known)
        return [self._until_end(row) for row in out[:, ids.shape[1] :].tolist()]

    def _until_end(self, row: list[int]) -> list[int]:
        end = next((i for i, token in enumerate(row) if token in self.ends), len(row))
        return row[: end + 1]
