"""Structured state-space memory with a diagonal-plus-low-rank system for each channel."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from memgym.agents.nn.complex_maps import as_complex, as_pairs
from memgym.agents.nn.hippo import legs
from memgym.agents.nn.lti import ChannelSSM, Unrolled
from memgym.agents.nn.module import MemorySpec

__all__ = ["S4"]


class S4(ChannelSSM):
    """S4: h' = (Lambda - P P*) h + B u, HiPPO-LegS at first, discretised by the bilinear rule.

    Each channel has its own Lambda, P, B, C and step size. `forward` convolves with a kernel that is found from
    its transform at the roots of unity, by four Cauchy sums and the Woodbury identity; `step` runs the recurrence,
    whose low-rank part makes it linear in `state` too.

    Args:
        d_in: size of an input, the number of channels.
        d_out: size of an output.
        state: complex numbers kept for each channel, one of each conjugate pair: half the N of the paper.

    Raises:
        ValueError: `state` outside its range.
    """

    spec: ClassVar = MemorySpec(
        family="ssm",
        erase="fixed_decay",
        parallel="chunk",
        width="state",
        paper="Gu et al. 2022, arXiv 2111.00396",
    )

    def __init__(self, d_in: int, d_out: int, *, state: int = 16) -> None:
        super().__init__(d_in, d_out, state=state)
        start = legs(2 * state)

        def parameter(row: Tensor) -> nn.Parameter:
            return nn.Parameter(row.to(torch.get_default_dtype()).expand(d_in, -1).clone())

        self.log_rate = nn.Parameter(torch.full((d_in, state), math.log(0.5)))
        self.frequency = parameter(start.eigenvalues.imag)
        self.p = parameter(as_pairs(start.p))
        self.b = parameter(as_pairs(start.b))

    def lr_scales(self) -> dict[str, float]:
        """The system but for C and D learns at a tenth of the rate."""
        return dict.fromkeys(("log_dt", "log_rate", "frequency", "p", "b"), 0.1)

    def _system(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Lambda, P and B, complex, shape (d_in, state), and 2 / dt, shape (d_in, 1)."""
        poles = torch.complex(-self.log_rate.exp(), self.frequency)
        return poles, as_complex(self.p), as_complex(self.b), 2 / self.log_dt.exp()[:, None]

    def advance(self, h: Tensor, u: Tensor) -> Tensor:
        """The next state, (2 / dt - A)^-1 ((2 / dt + A) h + 2 B u), with A = Lambda - P P*."""
        poles, p, b, rate = self._system()
        v = (rate + poles) * h - p * _pair(p, h) + 2 * b * u[..., None]
        inverse = 1 / (rate - poles)
        inner = _pair(p, inverse * v) / (1 + _pair(p, inverse * p))
        return inverse * (v - p * inner)

    def unroll(self, length: int) -> Unrolled:
        """The system over `length` steps."""
        # linear over the real numbers only, as P* couples each coordinate with the conjugates that are not kept
        basis = as_complex(torch.eye(2 * self.state, dtype=self.float_dtype, device=self.c.device))[:, None]
        quiet = self.c.new_zeros(2 * self.state, self.d_in)
        one_step = as_pairs(self.advance(basis, quiet)).permute(1, 2, 0)  # (d_in, N, N)
        write = as_pairs(self.advance(torch.zeros_like(basis[0]), self.c.new_ones(self.d_in)))[..., None]
        read = as_pairs((2 * as_complex(self.c)).conj())[:, None] @ one_step
        power = one_step
        while write.shape[-1] < length:  # twice as many steps each time
            write, read = torch.cat([write, power @ write], -1), torch.cat([read, read @ power], 1)
            power = power @ power
        transition = torch.linalg.matrix_power(one_step, length)
        return Unrolled(
            kernel=self.kernel(length, transition),
            read=read[:, :length],
            write=write[..., :length].mT,
            transition=transition,
        )

    def kernel(self, length: int, transition: Tensor) -> Tensor:
        """Outputs after 0 to `length` - 1 steps from one input, shape (d_in, length).

        Args:
            length: number of steps L.
            transition: state after L steps from the state before, shape (d_in, 2 state, 2 state).
        """
        poles, p, b, rate = self._system()
        c = as_pairs((2 * as_complex(self.c)).conj())[:, None]
        # C (1 - A^L): its whole response is the first L steps of that of C
        cut = as_complex((c - c @ transition)[:, 0]).conj() / 2
        angle = torch.arange((length + 1) // 2, dtype=self.float_dtype, device=p.device) * (torch.pi / length)
        tangent = torch.tan(
            angle
        )  # with z = exp(-2 i angle): (1 - z) / (1 + z) = i tan, 2 / (1 + z) = 1 + i tan
        node = 1j * rate * tangent
        terms = torch.stack([cut * b, cut * p, p.conj() * b, p.conj() * p])
        near = 1 / (node[..., None] - poles[:, None])
        far = 1 / (node[..., None] - poles[:, None].conj())
        sums = torch.einsum("khn,hzn->khz", terms, near) + torch.einsum("khn,hzn->khz", terms.conj(), far)
        spectrum = (1 + 1j * tangent) * (sums[0] - sums[1] * sums[2] / (1 + sums[3]))
        if length % 2 == 0:  # at z = -1 the expression is 0 / 0; its limit is dt / 2 C B
            spectrum = torch.cat([spectrum, (_pair(cut.conj(), b) / rate).to(spectrum.dtype)], 1)
        return torch.fft.irfft(spectrum, n=length)


def _pair(x: Tensor, y: Tensor) -> Tensor:
    """Inner product x* y over both halves of the conjugate pairs, real, shape (..., 1)."""
    return 2 * (x.conj() * y).sum(-1, keepdim=True).real
