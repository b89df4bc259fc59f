"""Promises that every memory keeps, as one public check: ours run it over the registry, others on theirs."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from memgym.agents.nn.module import MemoryModule, State

__all__ = ["check_memory_module"]

STEPS, BATCH = 70, 5
SPLIT = 33


def check_memory_module(
    make: Callable[[], MemoryModule], *, seed: int = 0, atol: float = 1e-5, memory_span: int = 5
) -> None:
    """Check a memory against the contract of `MemoryModule`.

    - C1 `forward` equals a loop of `step`, outputs and final states, resets included;
    - C2 a sequence in two parts equals it in one, also with a reset at the cut;
    - C3 nothing finite from before a reset reaches what comes after, neither values nor gradients;
    - C4 environments do not see each other;
    - C5 the present does not see the future, bit for bit;
    - C6 `state_nbytes` counts every leaf, and no step changes shape or dtype of one;
    - C7 every trainable parameter gets a finite gradient that is not zero;
    - C8 a state dict round trip changes nothing, and `step` leaves the state it is given as it was;
    - C9 an output depends on an input `memory_span` steps before it, or on none for a control without memory.

    Args:
        make: builds the memory; called more than once, so it seeds itself or not as it likes.
        seed: of the inputs.
        atol: largest difference where numbers may be rounded differently.
        memory_span: steps over which C9 looks for memory.

    Raises:
        AssertionError: names the promise that is broken, and by how much.
    """
    torch.manual_seed(seed)
    module = make()
    case = _Case(module, torch.Generator().manual_seed(seed), atol)
    for check in (
        _check_step,
        _check_split,
        _check_reset_leak,
        _check_batch_independence,
        _check_causality,
        _check_bytes,
        _check_gradients,
    ):
        check(case)
    _check_state_dict(case, make())
    _check_memory(case, memory_span)


class _Case:
    """A memory with inputs: random ones, with resets at the first step of one row and never in another."""

    def __init__(self, module: MemoryModule, generator: torch.Generator, atol: float) -> None:
        self.module, self.atol = module, atol
        dtype = module.float_dtype
        self.x = torch.randn(STEPS, BATCH, module.d_in, generator=generator, dtype=dtype)
        self.reset = torch.rand(STEPS, BATCH, generator=generator) < 0.08
        self.reset[0, 0] = True
        self.reset[:, 1] = False
        self.reset[SPLIT, 2] = True
        self.ids = None
        if module.spec.needs_ids:
            self.ids = torch.randint(0, 50, (STEPS, BATCH), generator=generator)
        with torch.no_grad():  # a state from which something has been seen
            start = torch.randn(9, BATCH, module.d_in, generator=generator, dtype=dtype)
            ids = None if self.ids is None else self.ids[:9]
            self.state = module(start, module.initial_state(BATCH), ids=ids)[1]

    def run(
        self, rows: slice = slice(None), state: State | None = None, **changed: Tensor
    ) -> tuple[Tensor, State]:
        """`forward` on some rows of the inputs, or on changed ones."""
        x, reset = changed.get("x", self.x), changed.get("reset", self.reset)
        ids = changed.get("ids", self.ids)
        return self.module(
            x[rows],
            self.state if state is None else state,
            reset[rows],
            ids=None if ids is None else ids[rows],
        )

    def compare(self, promise: str, left: Tensor, right: Tensor, *, exactly: bool = False) -> None:
        """Fail with the largest difference where two tensors differ."""
        if left.shape != right.shape or left.dtype != right.dtype:
            raise AssertionError(f"{promise}: {left.shape} {left.dtype} against {right.shape} {right.dtype}.")
        if left.numel() == 0 or torch.equal(left, right):
            return
        if left.dtype in (torch.bool, torch.int64):
            raise AssertionError(f"{promise}: integers differ.")
        difference = float((left - right).abs().max())
        if exactly or not difference <= self.atol * max(1.0, float(right.abs().max())):
            raise AssertionError(f"{promise}: the largest difference is {difference:.2e}.")

    def compare_states(self, promise: str, left: State, right: State) -> None:
        """Compare leaf by leaf."""
        if left.keys() != right.keys():
            raise AssertionError(f"{promise}: leaves {sorted(left)} against {sorted(right)}.")
        for name in left:
            self.compare(f"{promise}, leaf {name!r}", left[name], right[name])


@torch.no_grad()
def _check_step(case: _Case) -> None:
    y, last = case.run()
    state, outputs = case.state, []
    for t in range(STEPS):
        ids = None if case.ids is None else case.ids[t]
        out, state = case.module.step(case.x[t], state, case.reset[t], ids=ids)
        outputs.append(out)
    case.compare("C1: forward equals a loop of step", y, torch.stack(outputs))
    case.compare_states("C1: forward ends in the state of a loop of step", last, state)


@torch.no_grad()
def _check_split(case: _Case) -> None:
    y, last = case.run()
    first, middle = case.run(slice(SPLIT))
    second, state = case.run(slice(SPLIT, None), middle)
    case.compare("C2: two parts equal one sequence", torch.cat([first, second]), y)
    case.compare_states("C2: two parts end in the same state", state, last)


def _check_reset_leak(case: _Case) -> None:
    at = STEPS // 2
    reset = case.reset.clone()
    reset[at] = True
    x = case.x.clone().requires_grad_()
    y, _ = case.run(x=x, reset=reset)
    changed = torch.cat([torch.flip(case.x[:at], [0]) * 3 + 1, case.x[at:]])
    ids = None if case.ids is None else torch.cat([case.ids[:at] + 7, case.ids[at:]])
    extra: dict[str, Any] = {} if ids is None else {"ids": ids}
    with torch.no_grad():
        other, _ = case.run(x=changed, reset=reset, **extra)
    case.compare("C3: a reset forgets", other[at:], y.detach()[at:])
    y[at:].square().sum().backward()
    assert x.grad is not None
    leak = float(x.grad[:at].abs().max())
    if leak != 0.0:
        raise AssertionError(f"C3: a gradient of {leak:.2e} passes a reset.")


@torch.no_grad()
def _check_batch_independence(case: _Case) -> None:
    y, _ = case.run()
    keep = torch.tensor([3, 0, 2])
    ids = None if case.ids is None else case.ids[:, keep]
    state = {name: leaf[keep] for name, leaf in case.state.items()}
    other, _ = case.module(case.x[:, keep], state, case.reset[:, keep], ids=ids)
    case.compare("C4: environments do not see each other", other, y[:, keep])


@torch.no_grad()
def _check_causality(case: _Case) -> None:
    y, _ = case.run()
    at = 41
    changed = torch.cat([case.x[:at], -case.x[at:] + 2])
    other, _ = case.run(x=changed)
    case.compare("C5: the present does not see the future", other[:at], y[:at], exactly=True)


@torch.no_grad()
def _check_bytes(case: _Case) -> None:
    initial = case.module.initial_state(1)
    held = sum(leaf.numel() * leaf.element_size() for leaf in initial.values())
    if held != case.module.state_nbytes():
        raise AssertionError(
            f"C6: the state holds {held} bytes, state_nbytes says {case.module.state_nbytes()}."
        )
    _, last = case.run()
    for name, leaf in case.module.state_spec().items():
        if last[name].shape[1:] != leaf.shape or last[name].dtype != leaf.dtype:
            raise AssertionError(f"C6: leaf {name!r} became {last[name].shape[1:]} {last[name].dtype}.")


def _check_gradients(case: _Case) -> None:
    case.module.zero_grad()
    y, _ = case.run()
    loss = y.square().mean() + y.sin().mean()
    loss = loss + sum(case.module.aux_losses().values())
    loss.backward()
    for name, parameter in case.module.named_parameters():
        if not parameter.requires_grad:
            continue
        grad = parameter.grad
        if grad is None or not grad.isfinite().all() or not grad.any():
            raise AssertionError(f"C7: the gradient of {name!r} is missing, zero or not finite.")
    case.module.zero_grad()


@torch.no_grad()
def _check_state_dict(case: _Case, other: MemoryModule) -> None:
    other.load_state_dict(case.module.state_dict())
    ids = None if case.ids is None else case.ids[0]
    held = {name: leaf.clone() for name, leaf in case.state.items()}
    y, _ = case.module.step(case.x[0], case.state, case.reset[0], ids=ids)
    for name, leaf in held.items():
        case.compare(
            f"C8: step leaves its state as it was, leaf {name!r}", case.state[name], leaf, exactly=True
        )
    again, _ = other.step(case.x[0], case.state, case.reset[0], ids=ids)
    case.compare("C8: a state dict round trip changes nothing", again, y, exactly=True)


@torch.no_grad()
def _check_memory(case: _Case, span: int) -> None:
    at = STEPS - 1
    quiet: dict[str, Any] = {"reset": torch.zeros_like(case.reset)}
    y, _ = case.run(**quiet)
    changed = case.x.clone()
    changed[at - span] += 1.0
    if case.ids is not None:
        quiet["ids"] = case.ids.clone()
        quiet["ids"][at - 2] += 1
    other, _ = case.run(x=changed, **quiet)
    differs = not torch.equal(other[at], y[at])
    if differs is case.module.spec.is_stateless:
        what = "depends on earlier inputs" if differs else f"does not depend on the input {span} steps before"
        raise AssertionError(f"C9: the output {what}.")
