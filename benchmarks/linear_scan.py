"""The scan behind the recurrent memories against a plain loop under autograd, with its gradient.

    python benchmarks/linear_scan.py --rounds 15

One thread, CPU time. In every round all contestants take their turn on the same input, with episodes that begin
at 2% of the steps; figures are medians over the rounds, in brackets the quartiles. "times" is how much more CPU
time the plain loop takes, the median of the ratios within a round. A star marks what ``impl="auto"`` picks.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from memgym.agents.nn.scan import SMALL, linear_scan

SIZES = [(128, 64, 128), (128, 16, 64), (128, 1, 64), (1024, 64, 128), (1024, 1, 128)]  # T, B, D
DTYPES = [torch.float32, torch.complex64]


def plain_loop(a: Tensor, b: Tensor, h: Tensor, reset: Tensor) -> Tensor:
    """The recurrence as one would write it, except that indexing a[t] would make it quadratic in T."""
    steps = len(b)
    factors = a.unbind(0) if len(a) == steps else a.unbind(0) * steps
    states = []
    for factor, row, start in zip(factors, b.unbind(0), reset.unbind(0), strict=True):
        h = factor * torch.where(start[:, None], 0, h) + row
        states.append(h)
    return torch.stack(states)


def sequential(a: Tensor, b: Tensor, h: Tensor, reset: Tensor) -> Tensor:
    return linear_scan(a, b, h, reset, "sequential")


def chunked(a: Tensor, b: Tensor, h: Tensor, reset: Tensor) -> Tensor:
    return linear_scan(a, b, h, reset, "chunked")


CONTESTANTS: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "sequential": sequential,
    "chunked": chunked,
    "loop": plain_loop,
}


def measure(
    size: tuple[int, int, int], dtype: torch.dtype, fixed: bool, rounds: int
) -> dict[str, list[float]]:
    """CPU milliseconds of a forward and a backward pass, for each contestant and round."""
    steps, batch, width = size
    torch.manual_seed(0)
    a = 0.6 * torch.rand(1 if fixed else steps, 1 if fixed else batch, width, dtype=dtype)
    b, h = torch.randn(steps, batch, width, dtype=dtype), torch.zeros(batch, width, dtype=dtype)
    inputs = (a.requires_grad_(), b.requires_grad_(), h.requires_grad_())
    reset = torch.rand(steps, batch) < 0.02
    grad = torch.randn(steps, batch, width, dtype=dtype)
    times: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for i in range(rounds + 1):
        for name, run in CONTESTANTS.items():
            start = time.process_time()
            torch.autograd.grad(run(*inputs, reset), inputs, grad)
            if i:  # the first round warms up
                times[name].append(1e3 * (time.process_time() - start))
    return times


def spread(row: list[float]) -> str:
    low, middle, high = statistics.quantiles(row, n=4)
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15, help="measured rounds a row, at least 2")
    rounds = max(parser.parse_args().rounds, 2)
    torch.set_num_threads(1)
    names = ["sequential, ms", "chunked, ms", "loop, ms", "sequential, times", "chunked, times"]
    print("| " + " | ".join(["numbers", "factors", "T x B x D", *names]) + " |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for dtype in DTYPES:
        for size in SIZES:
            for fixed in (False, True):
                times = measure(size, dtype, fixed, rounds)
                auto = "sequential" if size[1] * size[2] >= SMALL else "chunked"
                ratios = [
                    f"{statistics.median(b / a for a, b in zip(times[name], times['loop'], strict=True)):.1f}"
                    + ("*" if name == auto else "")
                    for name in ("sequential", "chunked")
                ]
                cells = [str(dtype).removeprefix("torch."), "fixed" if fixed else "per step"]
                cells += [" x ".join(map(str, size)), *map(spread, times.values()), *ratios]
                print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
