"""The cells of "xLSTM: Extended Long Short-Term Memory" (Beck et al. 2024, arXiv 2405.04517): mLSTM and sLSTM.

Both have gates that grow exponentially. What keeps them from overflowing is a stabiliser m that scales the store and
its normaliser alike: outputs do not depend on it, so no gradient needs to pass through it.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from memgym.agents.nn.chunks import Chunks
from memgym.agents.nn.module import FedLoopModule, MemoryModule, MemorySpec, State, StateLeaf
from memgym.agents.nn.segments import where_any
from memgym.core.arguments import check_integer

__all__ = ["MLSTM", "SLSTM", "mlstm_chunk", "mlstm_step"]

PAPER = "Beck et al. 2024, arXiv 2405.04517"


def _normalise(numerator: Tensor, denominator: Tensor, m: Tensor) -> Tensor:
    """What is read, numerator / max(|denominator|, exp(-m)); exp(-m) must neither overflow nor vanish."""
    floor = (-m).clamp(-14.0, 80.0).exp()  # a read key of zeros would divide zero by zero
    return numerator / torch.maximum(denominator.abs(), floor)[..., None]


def mlstm_step(
    q: Tensor, k: Tensor, v: Tensor, i: Tensor, log_f: Tensor, state: State
) -> tuple[Tensor, State]:
    """One step: C = f C + exp(i) k v', n = f n + exp(i) k, h = C' q / max(|n' q|, 1), all scaled by exp(-m).

    Args:
        q: read key, shape (B, H, K).
        k: write key, shape (B, H, K).
        v: value, shape (B, H, V).
        i: logarithm of the input gate, shape (B, H).
        log_f: logarithm of the forget gate, shape (B, H).
        state: the store ``c`` (B, H, K, V), the normaliser ``n`` (B, H, K) and the stabiliser ``m`` (B, H).

    Returns:
        What was read, shape (B, H, V), and the next state.
    """
    last = state["m"].detach()
    m = torch.maximum(log_f + last, i).detach()
    kept, written = (log_f + last - m).exp(), (i - m).exp()
    row = written[..., None] * k
    c = kept[..., None, None] * state["c"] + row[..., :, None] * v[..., None, :]
    n = kept[..., None] * state["n"] + row
    h = _normalise((q[..., None, :] @ c)[..., 0, :], (q * n).sum(-1), m)
    return h, {"c": c, "n": n, "m": m}


def mlstm_chunk(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    i: Tensor,
    log_f: Tensor,
    state: State,
    reset: Tensor | None = None,
    chunk: int = 16,
) -> tuple[Tensor, State]:
    """`mlstm_step` for a sequence: attention inside a chunk, a carried state between chunks.

    Args:
        q: read keys, shape (T, B, H, K).
        k: write keys, shape (T, B, H, K).
        v: values, shape (T, B, H, V).
        i: logarithms of the input gate, shape (T, B, H).
        log_f: logarithms of the forget gate, shape (T, B, H).
        state: the state before the sequence, see `mlstm_step`.
        reset: where an episode begins, bool, shape (T, B).
        chunk: steps solved together; 16 was fastest on a CPU.

    Returns:
        What was read, shape (T, B, H, V), and the state after the sequence.
    """
    stabiliser = _stabilisers(i, log_f, state["m"], reset)
    chunks = Chunks(k, reset, chunk)
    end = stabiliser[-1]
    q, k, log_f = chunks.split(q), chunks.split(k), chunks.split(log_f)
    # the steps that fill up the last chunk forget nothing, write nothing and leave m as it is
    i, m = chunks.split(i, -torch.inf), chunks.split(stabiliser, end)
    v = chunks.split(torch.cat([v, torch.ones_like(v[..., :1])], -1))  # the normaliser is a column of its own

    decay = chunks.cumsum(log_f)
    weight = decay[..., :, None] - decay[..., None, :] + (i[..., None, :] - m[..., :, None])
    # masked before exp: what a step does not see may be large
    weight = weight.masked_fill(~chunks.visible, -torch.inf).exp()
    before = torch.cat(
        [state["m"].detach()[None], m[:-1, ..., -1]]
    )  # (N, B, H): m of the state that comes in
    carried = (decay + before[..., None] - m).masked_fill(~chunks.carried, -torch.inf).exp()

    local = ((q @ k.mT) * weight) @ v
    written = (k * weight[..., -1, :, None]).mT @ v
    kept = carried[..., -1, None, None]
    store = torch.cat([state["c"], state["n"][..., None]], -1)
    stores = []
    # unbind once: indexing in the loop would make the backward pass quadratic in the number of chunks
    for kept_i, written_i in zip(kept.unbind(0), written.unbind(0), strict=True):
        stores.append(store)
        store = kept_i * store + written_i
    both = local + (carried[..., None] * q) @ torch.stack(stores)
    h = chunks.join(_normalise(both[..., :-1], both[..., -1], m))
    return h, {"c": store[..., :-1].clone(), "n": store[..., -1].clone(), "m": end.clone()}


@torch.no_grad()
def _stabilisers(i: Tensor, log_f: Tensor, start: Tensor, reset: Tensor | None) -> Tensor:
    """m[t] = max(log_f[t] + m[t - 1], i[t]), from 0 where an episode begins; shape (T, B, H)."""
    resets = [None] * len(i) if reset is None else where_any(reset)
    m, rows = start, []
    for i_t, log_f_t, reset_t in zip(i.unbind(0), log_f.unbind(0), resets, strict=True):
        if reset_t is not None:
            m = m.masked_fill(reset_t[:, None], 0.0)
        m = torch.maximum(log_f_t + m, i_t)
        rows.append(m)
    return torch.stack(rows)


class MLSTM(MemoryModule):
    """mLSTM: heads with a matrix store each, gates of one number a head that see the input alone.

    y = W_o(RMSNorm(h) * sigmoid(W_g x)); k is divided by sqrt(K). Forget gates start between 0.95 and 0.998, the
    same for all inputs.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        heads: number of stores.
        head_size: length of a key and of a value; a store holds its square.

    Raises:
        ValueError: an argument outside its range.
    """

    spec: ClassVar = MemorySpec(
        family="matrix", erase="input_decay", parallel="chunk", width="head_size", paper=PAPER
    )

    def __init__(self, d_in: int, d_out: int, *, heads: int = 2, head_size: int = 16) -> None:
        super().__init__(d_in, d_out)
        check_integer("heads", heads, 1, 1 << 10)
        check_integer("head_size", head_size, 1, 1 << 16)
        self.heads = heads
        self.head_size = head_size
        size = heads * head_size
        self.qkv = nn.Linear(d_in, 3 * size, bias=False)
        self.input_gate = nn.Linear(d_in, heads)
        self.forget_gate = nn.Linear(d_in, heads)
        self.gate = nn.Linear(d_in, size)
        self.norm = nn.RMSNorm(head_size, eps=1e-5)
        self.out = nn.Linear(size, d_out, bias=False)
        nn.init.zeros_(self.input_gate.weight)
        nn.init.normal_(self.input_gate.bias, std=0.1)
        nn.init.zeros_(self.forget_gate.weight)
        with torch.no_grad():
            self.forget_gate.bias.copy_(torch.linspace(3.0, 6.0, heads))

    def state_spec(self) -> dict[str, StateLeaf]:
        """The store ``c``, the normaliser ``n`` and the stabiliser ``m``, for each head."""
        heads, size, dtype = self.heads, self.head_size, self.float_dtype
        return {
            "c": StateLeaf((heads, size, size), dtype),
            "n": StateLeaf((heads, size), dtype),
            "m": StateLeaf((heads,), dtype),
        }

    def forward(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume a sequence, in chunks."""
        h, state = mlstm_chunk(*self._arguments(x), state, reset)
        return self._read_out(x, h), state

    def step(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume one input."""
        h, state = mlstm_step(*self._arguments(x), self.mask_state(state, reset))
        return self._read_out(x, h), state

    def _arguments(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, self.head_size)).unbind(-3)
        log_f = nn.functional.logsigmoid(self.forget_gate(x))
        return q, k * self.head_size**-0.5, v, self.input_gate(x), log_f

    def _read_out(self, x: Tensor, h: Tensor) -> Tensor:
        return self.out(self.norm(h).flatten(-2) * torch.sigmoid(self.gate(x)))


class SLSTM(FedLoopModule):
    """sLSTM: an LSTM with an exponential input gate and a normaliser; gates see the last output of their own head.

    c = f c + exp(i) tanh(z), n = f n + exp(i), h = sigmoid(o) c / n. The first step of an episode has nothing to
    keep, and sets m = i. Forget biases go from 3 to 6 over the units.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        heads: number of groups of units; recurrent weights stay within one.
        head_size: units in a head.

    Raises:
        ValueError: an argument outside its range.
    """

    spec: ClassVar = MemorySpec(
        family="rnn", erase="input_decay", parallel="loop", width="head_size", paper=PAPER
    )

    def __init__(self, d_in: int, d_out: int, *, heads: int = 4, head_size: int = 16) -> None:
        super().__init__(d_in, d_out)
        check_integer("heads", heads, 1, 1 << 10)
        check_integer("head_size", head_size, 1, 1 << 16)
        self.heads = heads
        self.head_size = head_size
        size = heads * head_size
        self.feed = nn.Linear(d_in, 4 * size)  # heads first, then i, f, z and o
        bound = head_size**-0.5
        self.recur = nn.Parameter(torch.empty(heads, head_size, 4 * head_size).uniform_(-bound, bound))
        self.out = nn.Linear(size, d_out)
        with torch.no_grad():
            bias = self.feed.bias.view(heads, 4, head_size)
            bias.zero_()
            bias[:, 1] = torch.linspace(3.0, 6.0, size).view(heads, head_size)

    def state_spec(self) -> dict[str, StateLeaf]:
        """The cell ``c``, normaliser ``n``, output ``h`` and stabiliser ``m``, each (heads, head_size)."""
        leaf = StateLeaf((self.heads, self.head_size), self.float_dtype)
        return {"c": leaf, "n": leaf, "h": leaf, "m": leaf}

    def _feed(self, x: Tensor) -> Tensor:
        return self.feed(x).unflatten(-1, (self.heads, 4 * self.head_size))

    def _read(self, h: Tensor) -> Tensor:
        return self.out(h.flatten(-2))

    def _advance(self, fed: Tensor, state: State) -> State:
        recurrent = torch.bmm(state["h"].transpose(0, 1), self.recur).transpose(0, 1)
        i, f, z, o = (fed + recurrent).chunk(4, -1)
        log_f = nn.functional.logsigmoid(f)
        is_first = state["n"] == 0  # after the first step n is at least 1
        last = torch.where(is_first, i, state["m"]).detach()
        m = torch.maximum(log_f + last, i).detach()
        kept, written = (log_f + last - m).exp(), (i - m).exp()
        c = kept * state["c"] + written * torch.tanh(z)
        n = kept * state["n"] + written
        return {"c": c, "n": n, "h": torch.sigmoid(o) * c / n, "m": m}
