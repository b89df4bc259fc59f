"""A model on this machine, by Hugging Face transformers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from time import perf_counter
from typing import Any

import numpy as np

from memgym.errors import DependencyMissing
from memgym.llm.errors import LLMError, LLMRefused
from memgym.llm.messages import ChatMessage, Client, Completion, LLMRequest, OnAnswer
from memgym.llm.usage import Usage
from memgym.rng import draw_array

__all__ = ["LocalClient", "bare_generation", "end_tokens"]


class LocalClient(Client):
    """Generates in batches with a transformers model.

    Prompts are padded on the left and end with the tokenizer's chat template; a tokenizer without one gets
    ``<|role|>`` lines. Sampling draws from a counter-based source keyed by the request, so what a request gets
    depends neither on its batch nor on torch's own random state. Tools are refused: a caller that wants tool calls
    from such a model writes and parses its own text form.

    Args:
        model: id on the Hugging Face hub, a folder, or a model object.
        tokenizer: needed for a model object; otherwise that of `model`.
        name: for cards and digests; by default `model` as given.
        device: e.g. ``"cpu"`` or ``"cuda"``.
        batch: requests generated at the same time.
        load: further arguments of ``from_pretrained``, e.g. ``{"dtype": "bfloat16"}``.

    Raises:
        DependencyMissing: transformers or torch is not installed.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        *,
        name: str = "",
        device: str = "cpu",
        batch: int = 16,
        load: dict[str, Any] | None = None,
    ) -> None:
        try:
            import transformers
        except ImportError:
            raise DependencyMissing.for_extra(
                "transformers", "llm,agents", "A local language model"
            ) from None
        if batch < 1:
            raise ValueError(f"batch is at least 1, not {batch}.")
        if isinstance(model, str):
            tokenizer = tokenizer or transformers.AutoTokenizer.from_pretrained(model)
            name = name or model
            model = transformers.AutoModelForCausalLM.from_pretrained(model, **(load or {}))
        if tokenizer is None:
            raise ValueError("a model object needs its tokenizer.")
        self.model = name or type(model).__name__
        self.network = model.to(device).eval()
        self.tokenizer = tokenizer
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        self.batch = batch
        self.reserved = tuple(sorted(set(tokenizer.all_special_tokens)))

    def complete_many(
        self, requests: Sequence[LLMRequest], on_answer: OnAnswer | None = None
    ) -> list[Completion | LLMError]:
        """Answer each request, those with the same bound on tokens and temperature together."""
        outcomes: dict[int, Completion | LLMError] = {}
        groups: dict[tuple[int, float], list[int]] = {}
        for i, request in enumerate(requests):
            if request.tools:
                outcomes[i] = LLMRefused("a local model takes no tools; ask for JSON instead.")
            else:
                groups.setdefault((request.max_tokens, request.temperature), []).append(i)
        for places in groups.values():
            todo = iter(places)
            while some := list(islice(todo, self.batch)):
                for i, outcome in zip(some, self._generate([requests[i] for i in some]), strict=True):
                    outcomes[i] = outcome
                    if on_answer is not None:
                        on_answer(i, outcome)
        return [outcomes[i] for i in range(len(requests))]

    # ------------------------------------------------------------------ inside

    def _generate(self, requests: list[LLMRequest]) -> list[Completion | LLMError]:
        """Answer requests that agree in their bound and temperature."""
        from transformers import GenerationConfig, LogitsProcessorList

        start = perf_counter()
        bound, temperature = requests[0].max_tokens, requests[0].temperature
        try:
            prompts = [self._render(request.messages) for request in requests]
        except Exception as error:  # templates are programs of the model's authors
            return [LLMRefused(f"the chat template of {self.model!r} refuses the messages: {error}")] * len(
                requests
            )
        inputs = self.tokenizer(
            prompts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False
        ).to(self.network.device)
        lengths = inputs["attention_mask"].sum(1).tolist()
        context = getattr(self.network.config, "max_position_embeddings", None)
        if context is not None and inputs["input_ids"].shape[1] + bound > context:
            return self._too_long(requests, lengths, context)
        ends = end_tokens(self.network, self.tokenizer)
        noise = (
            [_Gumbel([request.digest(self.model) for request in requests], temperature)]
            if temperature
            else []
        )
        config = GenerationConfig(
            max_new_tokens=bound,
            do_sample=False,
            pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=sorted(ends) or None,
        )
        with bare_generation(self.network):
            out = self.network.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                generation_config=config,
                logits_processor=LogitsProcessorList(noise),
            )
        written = out[:, inputs["input_ids"].shape[1] :].tolist()
        seconds = (perf_counter() - start) / len(requests)
        return [
            self._completion(ids, ends, length, bound, seconds)
            for ids, length in zip(written, lengths, strict=True)
        ]

    def _too_long(
        self, requests: list[LLMRequest], lengths: list[int], context: int
    ) -> list[Completion | LLMError]:
        """Refuse the requests that the model's context cannot hold, and answer the others."""
        bound = requests[0].max_tokens
        fits = [length + bound <= context for length in lengths]
        rest = [request for request, fit in zip(requests, fits, strict=True) if fit]
        answers = iter(self._generate(rest) if rest else [])
        return [
            next(answers)
            if fit
            else LLMRefused(
                f"a prompt of {length} tokens and an answer of {bound} do not fit the context of {self.model!r}, "
                f"{context} tokens."
            )
            for fit, length in zip(fits, lengths, strict=True)
        ]

    def _completion(
        self, ids: list[int], ends: set[int], prompt_tokens: int, bound: int, seconds: float
    ) -> Completion:
        end = next((i for i, token in enumerate(ids) if token in ends), None)
        text = self.tokenizer.decode(ids[:end], skip_special_tokens=True)
        count = len(ids) if end is None else end + 1
        finish = "length" if end is None and count >= bound else "stop"
        return Completion(text, Usage(1, prompt_tokens, count, seconds=seconds), self.model, finish)

    def _render(self, messages: Sequence[ChatMessage]) -> str:
        if self.tokenizer.chat_template is None:
            lines = [f"<|{message.role}|>\n{message.content}\n" for message in messages]
            return "".join([*lines, "<|assistant|>\n"])
        chat = [{"role": message.role, "content": message.content} for message in messages]
        return self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)


def end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """Tokens that end an answer: models that were taught to chat may end a turn by another one than a text."""
    end = model.generation_config.eos_token_id
    listed = end if isinstance(end, list) else [end]
    return {token for token in [*listed, tokenizer.eos_token_id] if token is not None}


@contextmanager
def bare_generation(model: Any) -> Iterator[None]:
    """Let a model of transformers generate by its probabilities alone, as long as this lasts.

    What its folder says of generating, such as a penalty of what was said before, goes into all that a call leaves
    open; what is sampled would then be of another distribution than the one that is scored.
    """
    from transformers import GenerationConfig

    told, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = told


class _Gumbel:
    """Turns greedy decoding into sampling: the largest of logits plus Gumbel noise is a draw of the softmax."""

    def __init__(self, digests: list[str], temperature: float) -> None:
        self.keys = np.array([int(digest[:16], 16) for digest in digests], np.uint64)[:, None]  # (B, 1)
        self.temperature = temperature
        self.drawn = 0

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        size = scores.shape[1]
        index = np.arange(self.drawn, self.drawn + size, dtype=np.uint64)[None]
        self.drawn += size
        uniform = ((draw_array(self.keys, index) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
        return scores / self.temperature + scores.new_tensor(-np.log(-np.log(uniform)))
