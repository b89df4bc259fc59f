"""B'MOJO: a fading recurrent state, a window of the last inputs, and a store of the inputs that surprised."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from memgym.agents.nn.module import MemoryModule, MemorySpec, State, StateLeaf
from memgym.agents.nn.scan import linear_scan
from memgym.agents.nn.segments import segment_ids
from memgym.core.arguments import check_flag, check_integer

__all__ = ["BMojo"]

TAPS = 4  # inputs whose mean predicts the next one
CHUNK = 64  # steps read together: masks grow with its square, what is projected twice shrinks with it


class BMojo(MemoryModule):
    """Attention over three memories: the last inputs, a few older ones kept verbatim, and a state that fades.

    Each input gets an *innovation*, its mean squared distance from the mean of the four inputs before it: what
    cannot be predicted. An input that leaves the window competes for a place in the store, which keeps the
    `store` inputs of highest innovation in the episode so far, the newer of two equals. Attention reads window and
    store, and one token more: the state of a gated recurrence over all inputs (h = (1 - z) h + z c). Nothing in
    the store is overwritten, so an old and a new version of a fact may lie there side by side; a bias that falls
    with the logarithm of the age lets a head prefer the newer.

    The paper leaves open how innovation is measured; fixed taps are our choice. Innovations pass no gradient and
    are rounded to bfloat16, so that equal inputs tie on every device and the tie goes to the newer.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        head_size: width of one attention head; the fading state is as wide as all of them.
        heads: attention heads.
        window: last inputs that are always seen, the present one included; 0 for none.
        store: older inputs that are kept; 0 for none.
        age_bias: whether heads can prefer the newer of two inputs beyond the window.

    Raises:
        ValueError: an argument outside its range.
    """

    spec: ClassVar = MemorySpec(
        family="attention",
        erase="evict",
        parallel="chunk",
        width="head_size",
        paper="Zancato et al. 2024, arXiv 2407.06324",
    )

    def __init__(
        self,
        d_in: int,
        d_out: int,
        *,
        head_size: int = 16,
        heads: int = 4,
        window: int = 16,
        store: int = 16,
        age_bias: bool = True,
    ) -> None:
        super().__init__(d_in, d_out)
        check_integer("head_size", head_size, 1, 1 << 17)
        check_integer("heads", heads, 1, 1 << 10)
        check_integer("window", window, 0, 1 << 16)
        check_integer("store", store, 0, 1 << 17)
        check_flag("age_bias", age_bias)
        self.head_size, self.heads, self.window, self.store = head_size, heads, window, store
        self.hidden = hidden = heads * head_size
        # the inputs that the state holds beside the store: the window, and what the prediction needs
        self.recent = max(window, TAPS) if store else window
        self.gate = nn.Linear(d_in, hidden)
        self.candidate = nn.Linear(d_in, hidden)
        self.query = nn.Linear(d_in, hidden)
        self.key_value = nn.Linear(d_in, 2 * hidden)
        self.fading_key_value = nn.Linear(hidden, 2 * hidden)
        self.out = nn.Linear(hidden, d_out)
        with torch.no_grad():  # time constants from 2 steps to 64
            self.gate.bias.copy_(-torch.linspace(0.0, 62.0, hidden).add(1.0).log())
        self.bias = nn.Parameter(torch.zeros(heads, window + 1))  # by distance, the last for the whole store
        self.slope = nn.Parameter(torch.linspace(0.0, 2.0, heads)) if age_bias else None

    def state_spec(self) -> dict[str, StateLeaf]:
        """The fading state, the last inputs (newest last) and how many are of this episode, and the store.

        The store lies in ascending order of innovation, empty places first. ``store_age`` is the distance from
        the next input, 0 for an empty place.
        """
        real = self.float_dtype
        leaves = {
            "fading": StateLeaf((self.hidden,), real),
            "recent": StateLeaf((self.recent, self.d_in), real),
            "filled": StateLeaf((1,), torch.int32),
        }
        if self.store:
            leaves |= {
                "recent_score": StateLeaf((self.recent,), torch.bfloat16),
                "store": StateLeaf((self.store, self.d_in), real),
                "store_score": StateLeaf((self.store,), torch.bfloat16),
                "store_age": StateLeaf((self.store,), torch.int32),
            }
        return leaves

    def forward(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume a sequence: the recurrence in one scan, what attention sees in chunks of time."""
        z = torch.sigmoid(self.gate(x))
        fading = linear_scan(1 - z, z * self.candidate(x), state["fading"], reset)
        outputs = []
        for start in range(0, len(x), CHUNK):
            rows = slice(start, start + CHUNK)
            y, state = self._read_chunk(x[rows], fading[rows], state, None if reset is None else reset[rows])
            outputs.append(y)
        return torch.cat(outputs), state

    def step(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume one input."""
        state = self.mask_state(state, reset)
        z = torch.sigmoid(self.gate(x))
        fading = (1 - z) * state["fading"] + z * self.candidate(x)
        rows = torch.cat([state["recent"], x[:, None]], 1)  # (B, N + 1, d_in)
        distance = torch.arange(self.recent, -1, -1, device=x.device)
        held = distance <= state["filled"]  # (B, N + 1)
        following: State = {"fading": fading, "recent": rows[:, 1:]}
        following["filled"] = (state["filled"] + 1).clamp(max=self.recent)
        visible, distances, tokens = held & (distance < self.window), distance.expand_as(held), rows
        if self.store:
            score = self._innovation(rows.transpose(0, 1), held.int().T, 1)
            scores = torch.cat([state["recent_score"], score.T], 1)
            following["recent_score"] = scores[:, 1:]
            leaving = self.recent - self.window
            following |= self._insert(state, rows[:, leaving], scores[:, leaving], held[:, leaving])
            visible = torch.cat([following["store_age"] > 0, visible], 1)
            # of an empty place 0, as the logarithm of 0 would make the gradient of the slope NaN
            distances = torch.cat([(following["store_age"] - 1).clamp(min=0), distances], 1)
            tokens = torch.cat([following["store"], tokens], 1)
        bias = self._bias(distances).transpose(0, 1)[:, :, None]  # (B, H, 1, S)
        return self._attend(x[None], tokens.transpose(0, 1), fading[None], bias, visible[:, None])[
            0
        ], following

    def _insert(self, state: State, token: Tensor, score: Tensor, is_held: Tensor) -> State:
        """The store after one input has left the window, its ages as seen from the next input."""
        age = state["store_age"]
        beaten = (age == 0) | (state["store_score"].float() <= score.float()[:, None])
        place = torch.where(is_held, beaten.sum(1), 0)[
            :, None
        ]  # it goes below `place`, and the first falls out
        slot = torch.arange(self.store, device=age.device)
        source = torch.where(slot < place - 1, slot + 1, slot)
        source = torch.where(slot == place - 1, self.store, source)
        new_age = torch.full_like(age[:, :1], self.window + 1)
        return {
            "store": _take(torch.cat([state["store"], token[:, None]], 1), source),
            "store_score": torch.cat([state["store_score"], score[:, None]], 1).gather(1, source),
            "store_age": torch.cat([age + (age > 0), new_age], 1).gather(1, source),
        }

    def _read_chunk(
        self, x: Tensor, fading: Tensor, state: State, reset: Tensor | None
    ) -> tuple[Tensor, State]:
        """`forward` for a few steps, their fading states given."""
        steps = len(x)
        segment = segment_ids(reset, x)
        rows = torch.cat([state["recent"].transpose(0, 1), x])  # (N + C, B, d_in)
        distance = torch.arange(self.recent, 0, -1, device=x.device)[:, None]
        # a row that holds nothing gets a segment that no step has
        before = torch.where(distance <= state["filled"][:, 0], 0, -1)
        segments = torch.cat([before, segment])
        last = segments[steps:] == segments[-1]  # which rows the next state keeps
        following: State = {"fading": fading[-1].clone()}
        following["recent"] = (rows[steps:] * last[..., None]).transpose(0, 1)
        following["filled"] = last.sum(0, dtype=torch.int32)[:, None]
        scores = None
        if self.store:
            scores = torch.cat([state["recent_score"].T, self._innovation(rows, segments, steps)])
            following["recent_score"] = (scores[steps:] * last).T

        outside = self.recent - self.window  # held for the prediction alone: no window of this chunk has them
        tokens, segments = rows[outside:], segments[outside:]
        step = torch.arange(steps, device=x.device)
        distances = step[:, None] + self.window - torch.arange(self.window + steps, device=x.device)
        inside = (distances >= 0) & (distances < self.window)
        bias = self._bias(distances.clamp(min=0))  # (H, C, W + C)
        visible = inside & (segments.T[:, None] == segment.T[:, :, None])  # (B, C, W + C)
        if scores is not None:
            scores = scores[outside:]
            chosen, slot = self._select(state, scores, segments, steps)
            visible = nn.functional.pad(visible, (self.store, 0)) | chosen
            tokens = torch.cat([state["store"].transpose(0, 1), tokens])
            stored = self._bias(state["store_age"][:, None] + step[:, None]).transpose(0, 1)
            bias = torch.cat([stored, bias.expand(len(stored), -1, -1, -1)], -1)  # (B, H, C, E + W + C)
            following |= self._keep(state, tokens, scores, slot, steps)
        return self._attend(x, tokens, fading, bias, visible), following

    @torch.no_grad()
    def _innovation(self, rows: Tensor, segments: Tensor, steps: int) -> Tensor:
        """How far each of the last `steps` rows is from the mean of those before it, shape (steps, B)."""
        here = segments[-steps:]
        total, count = torch.zeros_like(rows[-steps:]), torch.zeros_like(here)
        for back in range(1, TAPS + 1):
            before = slice(len(rows) - steps - back, len(rows) - back)
            same = segments[before] == here
            total += rows[before] * same[..., None]
            count += same
        error = rows[-steps:] - total / count.clamp(min=1)[..., None]
        return error.square().mean(-1).bfloat16()

    @torch.no_grad()
    def _select(self, state: State, scores: Tensor, segments: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """What the store holds at each step, and where in it each input lies after the last step.

        Input s is in the store at step t where it has left the window and fewer than `store` of those that have,
        too, are better. Inputs leave in the order in which they came, so a running count over that order tells
        the rank of every input at every step.

        Returns:
            Bool, shape (B, C, E + W + C), over the old store, the old window and the chunk; and int64,
            shape (B, E + C), a slot or `store` for none.
        """
        count = self.store + steps  # the others are in the window to the end
        score = torch.cat([state["store_score"], scores.T], 1)[:, :count].float()
        held = torch.where(state["store_age"] > 0, 0, -1)
        segment = torch.cat([held, segments.T], 1)[:, :count]
        order = torch.arange(count, device=score.device)  # the store's own order is ascending, too
        better = score[:, None] > score[:, :, None]
        better |= (score[:, None] == score[:, :, None]) & (order > order[:, None])
        better &= segment[:, None] == segment[:, :, None]
        rank = better.cumsum(-1, dtype=torch.int32)[..., self.store :]  # (B, E + C, C)
        chosen = (rank < self.store) & (order[:, None] <= order[self.store :])
        chosen &= segment[:, :, None] == segments.T[:, None, -steps:]
        slot = torch.where(chosen[..., -1], self.store - 1 - rank[..., -1], self.store)
        return nn.functional.pad(chosen.mT, (0, self.window)), slot.long()

    def _keep(self, state: State, tokens: Tensor, scores: Tensor, slot: Tensor, steps: int) -> State:
        """The store after the chunk, from the slot of each input."""
        batch, count = slot.shape
        index = torch.arange(count, device=slot.device).expand(batch, -1)
        source = index.new_full((batch, self.store + 1), -1).scatter(1, slot, index)[:, :-1]
        held, source = source >= 0, source.clamp(min=0)
        row_ages = torch.arange(len(scores), 0, -1, dtype=torch.int32, device=slot.device)
        age = torch.cat([state["store_age"] + steps, row_ages.expand(batch, -1)], 1)
        score = torch.cat([state["store_score"], scores.T], 1)
        return {
            "store": _take(tokens.transpose(0, 1), source) * held[..., None],
            "store_score": score.gather(1, source) * held,
            "store_age": age.gather(1, source) * held,
        }

    def _bias(self, distance: Tensor) -> Tensor:
        """What the heads add for an input's distance, the heads before the shape of `distance`."""
        bias = self.bias[:, distance.clamp(max=self.window)]
        if self.slope is None:
            return bias
        slope = self.slope.view(-1, *[1] * distance.dim())
        return bias - slope * distance.to(self.float_dtype).log1p()

    def _attend(self, x: Tensor, tokens: Tensor, fading: Tensor, bias: Tensor, visible: Tensor) -> Tensor:
        """Read the visible tokens and the fading state.

        Args:
            x: inputs, shape (C, B, d_in).
            tokens: inputs to read from, shape (S, B, d_in).
            fading: the state at each step, shape (C, B, hidden).
            bias: added to the scores, shape (H, C, S) or (B, H, C, S).
            visible: bool, shape (B, C, S).

        Returns:
            Outputs of shape (C, B, d_out).
        """

        def split(row: Tensor) -> Tensor:  # (S, B, hidden) to (B, H, S, head_size)
            return row.unflatten(-1, (self.heads, self.head_size)).permute(1, 2, 0, 3)

        q = split(self.query(x)) * self.head_size**-0.5
        k, v = (split(row) for row in self.key_value(tokens).chunk(2, -1))
        k_fading, v_fading = (split(row) for row in self.fading_key_value(fading).chunk(2, -1))
        scores = (q @ k.mT + bias).masked_fill(~visible[:, None], -torch.inf)
        scores = torch.cat([scores, (q * k_fading).sum(-1, keepdim=True)], -1)
        weight = scores.softmax(-1)
        read = weight[..., :-1] @ v + weight[..., -1:] * v_fading
        return self.out(read.permute(2, 0, 1, 3).flatten(2))


def _take(rows: Tensor, index: Tensor) -> Tensor:
    """Rows of (B, S, D) by index (B, E)."""
    return rows.gather(1, index[..., None].expand(-1, -1, rows.shape[-1]))
