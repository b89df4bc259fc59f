"""Gated Transformer-XL: attention over the last steps of an episode, with GRU gates in place of residual sums."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from memgym.agents.nn.attention import Band, live_slots, steps_before
from memgym.agents.nn.module import MemoryModule, MemorySpec, State, StateLeaf
from memgym.core.arguments import check_integer, check_number

__all__ = ["GTrXL"]


class _Gate(nn.Module):
    """GRU gate in place of x + y: (1 - z) x + z c; a large bias keeps z near 0, and so the output near x."""

    def __init__(self, size: int, bias: float) -> None:
        super().__init__()
        self.from_y = nn.Linear(size, 3 * size, bias=False)
        self.from_x = nn.Linear(size, 2 * size, bias=False)
        self.from_rx = nn.Linear(size, size, bias=False)
        self.bias = nn.Parameter(torch.full((size,), float(bias)))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        r_y, z_y, c_y = self.from_y(y).chunk(3, -1)
        r_x, z_x = self.from_x(x).chunk(2, -1)
        r = torch.sigmoid(r_y + r_x)
        z = torch.sigmoid(z_y + z_x - self.bias)
        c = torch.tanh(c_y + self.from_rx(r * x))
        return x + z * (c - x)


def _sinusoid(distance: Tensor, size: int) -> Tensor:
    """Sines, then cosines, of distances of shape (J,): float64, shape (J, size)."""
    half = -(-size // 2)
    rates = 10000.0 ** -(torch.arange(half, dtype=torch.float64, device=distance.device) / half)
    angle = distance.double()[:, None] * rates
    return torch.cat([angle.sin(), angle.cos()[:, : size - half]], -1)


class _Layer(nn.Module):
    """Attention with relative positions, then a feed-forward layer, each behind a normalisation and a gate."""

    def __init__(self, heads: int, head_size: int, ffn_mult: int, gate_bias: float) -> None:
        super().__init__()
        self.heads = heads
        size = heads * head_size
        self.attention_norm = nn.LayerNorm(size)
        self.query = nn.Linear(size, size, bias=False)
        self.key_value = nn.Linear(size, 2 * size, bias=False)
        self.position = nn.Linear(size, size, bias=False)
        self.content_bias = nn.Parameter(torch.zeros(heads, head_size))
        self.position_bias = nn.Parameter(torch.zeros(heads, head_size))
        self.out = nn.Linear(size, size, bias=False)
        self.attention_gate = _Gate(size, gate_bias)
        hidden = ffn_mult * size
        self.ffn = nn.Sequential(
            nn.LayerNorm(size), nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, size), nn.ReLU()
        )
        self.ffn_gate = _Gate(size, gate_bias)

    def forward(self, h: Tensor, cached: Tensor, band: Band) -> Tensor:
        """Outputs for inputs of shape (T, B, D), after cached ones of shape (window, B, D)."""
        shape = (self.heads, -1)
        rows = self.attention_norm(torch.cat([cached, h]))
        q = self.query(rows[len(cached) :]).unflatten(-1, shape)
        k, v = (part.unflatten(-1, shape) for part in self.key_value(rows).chunk(2, -1))
        q = q * q.shape[-1] ** -0.5
        scale = q.shape[-1] ** -0.5
        by_content = band.queries(q + scale * self.content_bias)
        by_position = band.queries(q + scale * self.position_bias)
        split = len(cached)
        scores = by_content @ band.keys(k[:split], k[split:]).mT
        distance = torch.arange(band.back, -1, -1, device=h.device)
        position = self.position(_sinusoid(distance, h.shape[-1]).to(h.dtype)).unflatten(-1, shape)
        scores = scores + band.by_key(by_position @ position.permute(1, 2, 0))
        weights = scores.masked_fill(~band.visible, -torch.inf).softmax(-1)
        read = band.outputs(weights @ band.keys(v[:split], v[split:])).flatten(-2)
        y = self.attention_gate(h, torch.relu(self.out(read)))
        return self.ffn_gate(y, self.ffn(y))


class GTrXL(MemoryModule):
    """Gated Transformer-XL over the last `window` steps of the episode.

    Each layer attends to its own inputs of the last `window` steps and of the present one, with the relative
    positions of "Transformer-XL" (Dai et al. 2019, arXiv 1901.02860): the score of a key at distance d is
    ((q + u) k + (q + v) W sinusoid(d)) / sqrt(head_size). GRU gates take the place of residual sums; with their
    bias at 2 a layer begins near the identity. The state keeps the inputs of each layer. Gradients pass between
    the steps of one `forward`, not into what the state brought.

    Every query sees `window` + 1 keys, in a sequence as in acting. The training mask of Transformer-XL would show
    the later queries of a sequence more. With several layers a step depends on the layers * `window` steps before.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        heads: attention heads.
        head_size: size of a head; the stream between the layers is ``heads * head_size`` wide.
        window: steps back that a layer sees.
        layers: number of layers.
        ffn_mult: hidden width of the feed-forward layers, as a multiple of the stream's.
        gate_bias: of the gates, at first; the larger, the nearer a layer is to the identity.

    Raises:
        ValueError: an argument outside its range.
    """

    spec: ClassVar = MemorySpec(
        family="attention",
        erase="evict",
        parallel="quadratic",
        width="head_size",
        paper="Parisotto et al. 2019, arXiv 1910.06764",
    )

    def __init__(
        self,
        d_in: int,
        d_out: int,
        *,
        heads: int = 4,
        head_size: int = 16,
        window: int = 32,
        layers: int = 1,
        ffn_mult: int = 2,
        gate_bias: float = 2.0,
    ) -> None:
        super().__init__(d_in, d_out)
        check_integer("heads", heads, 1, 1024)
        check_integer("head_size", head_size, 1, 1 << 16)
        check_integer("window", window, 1, 1 << 16)
        check_integer("layers", layers, 1, 1024)
        check_integer("ffn_mult", ffn_mult, 1, 64)
        check_number("gate_bias", gate_bias, -100, 100)
        self.size, self.window = heads * head_size, window
        self.embed = nn.Linear(d_in, self.size)
        self.layers = nn.ModuleList(_Layer(heads, head_size, ffn_mult, gate_bias) for _ in range(layers))
        self.out = nn.Linear(self.size, d_out)

    def state_spec(self) -> dict[str, StateLeaf]:
        """Inputs of each layer ``mem``, shape (layers, window, size), the oldest first, and how many: ``len``."""
        return {
            "mem": StateLeaf((len(self.layers), self.window, self.size), self.float_dtype),
            "len": StateLeaf((1,), torch.int64),
        }

    def forward(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume a sequence."""
        # what is not seen gets a weight of 0, which does not stop what is not finite
        state = self.state_at_start(state, reset)
        age = steps_before(reset, state["len"][:, 0], len(x))
        band = Band(age[:-1], self.window)
        length = age[-1].clamp(max=self.window)
        live = live_slots(length, self.window)[..., None]
        h = self.embed(x)
        held = []
        for layer, mem in zip(self.layers, state["mem"].detach().unbind(1), strict=True):
            new = h[-self.window :].detach().transpose(0, 1)
            # dead slots are zero, so that equal histories end in equal states
            held.append(torch.cat([mem, new], 1)[:, -self.window :].masked_fill(~live, 0.0))
            h = layer(h, mem.transpose(0, 1), band)
        return self.out(h), {"mem": torch.stack(held, 1), "len": length[:, None]}

    def step(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume one input."""
        y, state = self.forward(x[None], state, None if reset is None else reset[None])
        return y[0], state
