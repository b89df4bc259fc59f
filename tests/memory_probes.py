"""How tests of single memories make and ask one, for ``runpy.run_path``: a test file is no package."""

from typing import Any

import torch
from torch import Tensor


def build(cls: type, d_in: int = 6, d_out: int = 10, seed: int = 0, **config: Any) -> Any:
    """A memory with the initial weights of a seed."""
    torch.manual_seed(seed)
    return cls(d_in, d_out, **config)


def inputs(*shape: int, seed: int = 0, dtype: Any = torch.float64) -> Tensor:
    """Normal numbers of a seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@torch.no_grad()
def outputs(module: Any, x: Tensor, reset: Tensor | None = None) -> Tensor:
    """Outputs from the initial state on."""
    return module(x, module.initial_state(x.shape[1]), reset)[0]


@torch.no_grad()
def influence(module: Any, x: Tensor) -> Tensor:
    """Whether a change of x[0] changes y[t], bool, shape (T,)."""
    changed = torch.cat([x[:1] + 1.0, x[1:]])
    return (outputs(module, changed) != outputs(module, x)).any(-1).any(-1)
