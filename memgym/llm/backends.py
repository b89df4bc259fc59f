"""Who carries out a step: a model, a rule, or a different one for each step."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, Self

from memgym.llm.channels import data_message, strip_text
from memgym.llm.errors import LLMError, LLMOutputInvalid, LLMRefused, LLMUnavailable
from memgym.llm.messages import ChatMessage, Client, Completion, LLMRequest
from memgym.llm.steps import In, Out, Step, StepResult
from memgym.llm.usage import Ledger, Usage

__all__ = ["LLM", "ModelLLM", "RulesLLM", "StepRouter"]

MAX_SHOWN = 2000  # characters of an invalid answer that its repair shows again
SOFT = (LLMUnavailable, LLMOutputInvalid)  # failures that a run may go on after


class LLM(ABC):
    """Carries out typed steps and keeps accounts of them."""

    def __init__(self) -> None:
        self._ledger = Ledger()

    @property
    def ledger(self) -> Ledger:
        """Usage by step since this object was made."""
        return self._ledger

    @abstractmethod
    def run_many(self, step: Step[In, Out], inputs: Sequence[In], *, seed: int = 0) -> list[StepResult[Out]]:
        """Carry out a step for each input.

        Raises:
            LLMError: one of them failed, and this backend does not go on after failures.
        """

    @abstractmethod
    def describe(self, step: Step[Any, Any]) -> dict[str, str]:
        """Who carries out `step`, for a card: ``backend`` is ``"rules"`` or ``"model"``."""

    def card(self, *steps: Step[Any, Any]) -> dict[str, dict[str, str]]:
        """Who carries out each step, by its name: what an agent's card says of its language model."""
        return {step.name: self.describe(step) for step in steps}

    def run(self, step: Step[In, Out], x: In, *, seed: int = 0) -> StepResult[Out]:
        """Carry out a step for one input.

        Raises:
            LLMError: it failed, and this backend does not go on after failures.
        """
        return self.run_many(step, [x], seed=seed)[0]

    def close(self) -> None:  # noqa: B027 - most backends hold nothing open
        """Let go of connections."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RulesLLM(LLM):
    """Carries out steps by their offline rules: deterministic, no model, no tokens.

    It shows that a mechanism works, and nothing of how well a language model would do; a card must say so.

    Args:
        rules: rules by the name of a step, in place of the step's own.
    """

    def __init__(self, rules: Mapping[str, Callable[[Any], Any]] | None = None) -> None:
        super().__init__()
        self.rules = dict(rules or {})

    def run_many(self, step: Step[In, Out], inputs: Sequence[In], *, seed: int = 0) -> list[StepResult[Out]]:
        """Apply the rule to each input."""
        rule = self._rule(step)
        usage = Usage(calls=1)
        results = [StepResult(rule(x), usage) for x in inputs]
        self._ledger.add(step.name, Usage(calls=len(inputs)))
        return results

    def describe(self, step: Step[Any, Any]) -> dict[str, str]:
        """The rule and the first line of its docstring."""
        rule = self._rule(step)
        about = (rule.__doc__ or "").strip().split("\n")[0]
        return {"backend": "rules", "rule": getattr(rule, "__name__", type(rule).__name__), "about": about}

    def _rule(self, step: Step[In, Out]) -> Callable[[In], Out]:
        rule = self.rules.get(step.name, step.rule)
        if rule is None:
            raise LLMRefused(f"step {step.name!r} has no rule: it needs a language model.")
        return rule


@dataclass
class _Attempt(Generic[In, Out]):
    """One input on its way to an output."""

    x: In
    request: LLMRequest
    usage: Usage = field(default_factory=Usage)
    raw: str = ""
    output: Out | None = None
    error: LLMError | None = None

    def take(self, step: Step[In, Out], outcome: Completion | LLMError) -> None:
        """Enter what a client answered."""
        self.usage += outcome.usage
        self.error = outcome if isinstance(outcome, LLMError) else None
        if isinstance(outcome, LLMError):
            return
        self.raw = outcome.text
        try:
            self.output = step.parse(outcome.text, self.x)
        except LLMOutputInvalid as error:
            cut = (
                f" (the answer was cut off after {step.max_tokens} tokens)"
                if outcome.finish == "length"
                else ""
            )
            self.error = LLMOutputInvalid(f"{error}{cut}")


class ModelLLM(LLM):
    """Carries out steps by a language model.

    The instruction is the system message; the input is data in a user message, see `memgym.llm.channels`. An
    answer that does not fit is sent back once, with what was wrong with it. What fails then raises, or counts as
    a failure and becomes the step's fallback. A spent budget, a refused request and a missing recording raise
    always.

    Args:
        client: who answers.
        on_failure: ``"raise"``, or ``"fallback"`` where the step declares one.
    """

    def __init__(self, client: Client, *, on_failure: Literal["raise", "fallback"] = "raise") -> None:
        super().__init__()
        if on_failure not in ("raise", "fallback"):
            raise ValueError(f"on_failure is 'raise' or 'fallback', not {on_failure!r}.")
        self.client = client
        self.on_failure = on_failure

    def run_many(self, step: Step[In, Out], inputs: Sequence[In], *, seed: int = 0) -> list[StepResult[Out]]:
        """Ask about all inputs together, and once more about those whose answers do not fit."""
        attempts: list[_Attempt[In, Out]] = [_Attempt(x, self.request(step, x, seed=seed)) for x in inputs]
        self._ask(step, attempts)
        repairs = [attempt for attempt in attempts if isinstance(attempt.error, LLMOutputInvalid)]
        for attempt in repairs:
            attempt.request = self._repair(attempt)
        self._ask(step, repairs)
        for attempt in attempts:  # all accounts first: an error loses none
            self._ledger.add(step.name, attempt.usage + Usage(failures=int(attempt.error is not None)))
        return [self._result(step, attempt) for attempt in attempts]

    def describe(self, step: Step[Any, Any]) -> dict[str, str]:
        """The model and the digest of the prompt."""
        return {"backend": "model", "model": self.client.model, "prompt_sha256": step.prompt_sha256}

    def close(self) -> None:
        """Close the client."""
        self.client.close()

    def request(self, step: Step[In, Out], x: In, *, seed: int = 0) -> LLMRequest:
        """What is sent for one input."""
        data = data_message(x.model_dump(mode="json"), self.client.reserved)
        return LLMRequest(
            (ChatMessage("system", step.prompt), data),
            max_tokens=step.max_tokens,
            temperature=step.temperature,
            seed=seed,
            schema=step.schema,
            step=step.name,
        )

    def _ask(self, step: Step[In, Out], attempts: list[_Attempt[In, Out]]) -> None:
        outcomes = self.client.complete_many([attempt.request for attempt in attempts]) if attempts else []
        for attempt, outcome in zip(attempts, outcomes, strict=True):
            attempt.take(step, outcome)

    def _repair(self, attempt: _Attempt[In, Out]) -> LLMRequest:
        """The request again, with the invalid answer and what was wrong: both are data, as answers quote data."""
        reserved = self.client.reserved
        shown = strip_text(attempt.raw[:MAX_SHOWN], reserved)
        problem = data_message({"problem": str(attempt.error)}, reserved)
        asked = replace(
            problem, content=f"{problem.content}\nThis does not fit. Reply again, with the JSON alone."
        )
        messages = (*attempt.request.messages, ChatMessage("assistant", shown), asked)
        return replace(attempt.request, messages=messages)

    def _result(self, step: Step[In, Out], attempt: _Attempt[In, Out]) -> StepResult[Out]:
        if attempt.error is None:
            assert attempt.output is not None
            return StepResult(attempt.output, attempt.usage, attempt.raw)
        if self.on_failure == "raise" or step.fallback is None or not isinstance(attempt.error, SOFT):
            raise attempt.error
        usage = attempt.usage + Usage(failures=1)
        return StepResult(step.fallback(attempt.x), usage, attempt.raw, str(attempt.error))


class StepRouter(LLM):
    """Carries out each step by a backend of its own, e.g. a small model with one adapter a step (MemLoRA).

    Args:
        routes: backends by the name of a step.
        default: for all other steps; None refuses them.
    """

    def __init__(self, routes: Mapping[str, LLM], default: LLM | None = None) -> None:
        super().__init__()
        self.routes = dict(routes)
        self.default = default

    def run_many(self, step: Step[In, Out], inputs: Sequence[In], *, seed: int = 0) -> list[StepResult[Out]]:
        """Hand the step on."""
        return self._route(step).run_many(step, inputs, seed=seed)

    @property
    def ledger(self) -> Ledger:
        """Usage by step of all its backends."""
        merged = Ledger()
        for backend in self._backends():
            for step, usage in backend.ledger.by_step.items():
                merged.add(step, usage)
        return merged

    def describe(self, step: Step[Any, Any]) -> dict[str, str]:
        """Who it is handed to."""
        return self._route(step).describe(step)

    def close(self) -> None:
        """Close all its backends."""
        for backend in self._backends():
            backend.close()

    def _backends(self) -> list[LLM]:
        """Each once, also where several steps share it."""
        backends = [*self.routes.values(), *([self.default] if self.default is not None else [])]
        return list({id(backend): backend for backend in backends}.values())

    def _route(self, step: Step[Any, Any]) -> LLM:
        llm = self.routes.get(step.name, self.default)
        if llm is None:
            raise LLMRefused(
                f"no route for step {step.name!r}; there are {sorted(self.routes)} and no default."
            )
        return llm
