"""A causal transformer over the last steps of an episode, whose cache keeps keys and values."""

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from memgym.agents.nn.attention import Band, Rotation, attend, linear, live_slots, norm, steps_before
from memgym.agents.nn.kv_codecs import Codec, DenseCodec
from memgym.agents.nn.module import MemoryModule, MemorySpec, State, StateLeaf
from memgym.core.arguments import check_integer

__all__ = ["Transformer", "TransformerLayer"]


class TransformerLayer(nn.Module):
    """h += attention(LN h), then h += FFN(LN h), taken apart so that caches of any form fit in between.

    Args:
        heads: attention heads.
        head_size: size of a head.
        ffn_mult: hidden width of the feed-forward layers, as a multiple of ``heads * head_size``.
    """

    def __init__(self, heads: int, head_size: int, ffn_mult: int) -> None:
        super().__init__()
        self.heads = heads
        size = heads * head_size
        self.attention_norm = nn.LayerNorm(size)
        self.query_key_value = nn.Linear(size, 3 * size, bias=False)
        self.out = nn.Linear(size, size)
        self.ffn_norm = nn.LayerNorm(size)
        self.ffn_in = nn.Linear(size, ffn_mult * size)
        self.ffn_out = nn.Linear(ffn_mult * size, size)

    def project(self, h: Tensor, turn: Rotation) -> tuple[Tensor, Tensor, Tensor]:
        """Turned queries, turned keys and values of inputs of shape (T, B, D), each (T, B, heads, head_size)."""
        rows = linear(self.query_key_value, norm(self.attention_norm, h))
        q, k, v = rows.unflatten(-1, (3, self.heads, -1)).unbind(-3)
        return turn(q), turn(k), v

    def mix(self, h: Tensor, read: Tensor) -> Tensor:
        """The layer's output from its input and what was read, shape (T, B, heads, head_size)."""
        h = h + linear(self.out, read.flatten(-2))
        hidden = nn.functional.gelu(linear(self.ffn_in, norm(self.ffn_norm, h)))
        return h + linear(self.ffn_out, hidden)


class Transformer(MemoryModule):
    """Pre-norm transformer layers, each over the last `window` steps of the episode and the present one.

    Positions are rotary; the cache keeps turned keys, and values. Gradients pass between the steps of one `forward`,
    and into a cache that was not detached. With several layers a step depends on the layers * `window` steps before.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        heads: attention heads.
        head_size: size of a head; the stream between the layers is ``heads * head_size`` wide.
        window: steps back that a layer sees.
        layers: number of layers.
        ffn_mult: hidden width of the feed-forward layers, as a multiple of the stream's.

    Raises:
        ValueError: an argument outside its range.
    """

    spec: ClassVar = MemorySpec(
        family="attention",
        erase="evict",
        parallel="quadratic",
        width="head_size",
        paper="Vaswani et al. 2017, arXiv 1706.03762; rotary positions: arXiv 2104.09864",
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
    ) -> None:
        super().__init__(d_in, d_out)
        check_integer("heads", heads, 1, 1024)
        check_integer("head_size", head_size, 1, 1 << 16)
        check_integer("window", window, 1, 1 << 16)
        check_integer("layers", layers, 1, 1024)
        check_integer("ffn_mult", ffn_mult, 1, 64)
        self.heads, self.head_size, self.window = heads, head_size, window
        size = heads * head_size
        self.embed = nn.Linear(d_in, size)
        self.layers = nn.ModuleList(TransformerLayer(heads, head_size, ffn_mult) for _ in range(layers))
        self.norm = nn.LayerNorm(size)
        self.out = nn.Linear(size, d_out)
        self.codec: Codec = DenseCodec(heads, head_size)

    @property
    def choice_dtype(self) -> torch.dtype:
        """Precision of whatever a codec's choice depends on: double, unless there is nothing to choose.

        What a number is rounded to, or whether it is kept, can turn on its last bit, in which float32 products of a
        sequence and of one step differ. In double precision both choose alike, short of a tie to 16 digits.
        """
        return self.float_dtype if self.codec.is_exact else torch.float64

    def _layers(self) -> Iterator[TransformerLayer]:
        for layer in self.layers:
            assert isinstance(layer, TransformerLayer)
            yield layer

    def _row_leaves(self) -> dict[str, StateLeaf]:
        """What the cache of one layer stores for a step."""
        leaves = self.codec.leaves(self.float_dtype)
        return {f"{part}{name}": leaf for part in "kv" for name, leaf in leaves.items()}

    def state_spec(self) -> dict[str, StateLeaf]:
        """Keys and values of each layer, shape (layers, window, ...), the oldest first, and the step ``age``."""
        shape = (len(self.layers), self.window)
        spec = {
            name: StateLeaf((*shape, *leaf.shape), leaf.dtype) for name, leaf in self._row_leaves().items()
        }
        return {**spec, "age": StateLeaf((1,), torch.int64)}

    def forward(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume a sequence."""
        # what is not seen gets a weight of 0, which does not stop what is not finite
        state = self.state_at_start(state, reset)
        age = steps_before(reset, state["age"][:, 0], len(x))
        band = Band(age[:-1], self.window)
        turn = Rotation(age[:-1], self.head_size, self.choice_dtype)
        live = live_slots(age[-1], self.window)
        h = linear(self.embed, x.to(self.choice_dtype))
        held: list[State] = []
        for i, layer in enumerate(self._layers()):
            q, k, v = layer.project(h, turn)
            cache = {name: leaf[:, i] for name, leaf in state.items() if name != "age"}
            # no choice depends on what the last layer reads
            dtype = self.float_dtype if i == len(self.layers) - 1 else self.choice_dtype
            read, cache = self._read(q, k, v, cache, band, live, dtype)
            h = layer.mix(h.to(dtype), read)
            held.append(cache)
        y = linear(self.out, norm(self.norm, h))
        last = {name: torch.stack([cache[name] for cache in held], 1) for name in held[0]}
        return y, {**last, "age": age[-1, :, None].clone()}

    def step(
        self, x: Tensor, state: State, reset: Tensor | None = None, *, ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Consume one input."""
        y, state = self.forward(x[None], state, None if reset is None else reset[None])
        return y[0], state

    def _read(
        self, q: Tensor, k: Tensor, v: Tensor, cache: State, band: Band, live: Tensor, dtype: torch.dtype
    ) -> tuple[Tensor, State]:
        """What one layer reads, of precision `dtype`, shape (T, B, heads, head_size), and its next cache."""
        keys, values = self._rows(cache, "k", k, band).to(dtype), self._rows(cache, "v", v, band).to(dtype)
        read = attend(band.queries(q.to(dtype)), keys, values, band.visible)
        return band.outputs(read), self._append(cache, k, v, live)

    def _rows(self, cache: State, part: str, rows: Tensor, band: Band) -> Tensor:
        """Keys or values as the cache gives them back, under each block's queries (see `Band.keys`)."""
        leaves = {name.removeprefix(part): leaf for name, leaf in cache.items() if name.startswith(part)}
        cached = self.codec.decode(leaves, self.float_dtype).transpose(0, 1)
        return band.keys(cached, self.codec.approximate(rows, self.float_dtype))

    def _append(self, cache: State, k: Tensor, v: Tensor, live: Tensor) -> State:
        """The cache after a sequence; dead slots are zero, so that equal histories end in equal states."""
        held = {}
        for part, rows in (("k", k), ("v", v)):
            new = self.codec.encode(rows[-self.window :].transpose(0, 1), self.float_dtype)
            for name, leaf in new.items():
                slots = torch.cat([cache[part + name], leaf], 1)[:, -self.window :]
                held[part + name] = slots.masked_fill(~live.view(*live.shape, *[1] * (leaf.dim() - 2)), 0)
        return held
