"""How a cache stores a key or a value: as it is, pruned to its largest numbers, or in block floating point."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from memgym.agents.nn.module import State, StateLeaf

__all__ = ["BlockFloatCodec", "Codec", "DenseCodec", "PrunedCodec"]


class Codec(ABC):
    """A form in which rows of shape (..., heads, head_size) are stored.

    ``approximate(x, dtype)`` equals ``decode(encode(x, dtype), dtype)`` number for number, and passes gradients.
    In every method `dtype` is that of real numbers in the state; what it is given may be more precise.

    Args:
        heads: vectors in a row.
        head_size: numbers in a vector.

    Attributes:
        is_exact: whether rows come back as they were, so that nothing depends on a choice.
    """

    is_exact: ClassVar[bool]

    def __init__(self, heads: int, head_size: int) -> None:
        self.heads, self.head_size = heads, head_size

    @abstractmethod
    def leaves(self, dtype: torch.dtype) -> dict[str, StateLeaf]:
        """What a row is stored as. Zeros stand for a row of zeros."""

    @abstractmethod
    def encode(self, x: Tensor, dtype: torch.dtype) -> State:
        """Rows as leaves."""

    @abstractmethod
    def decode(self, leaves: State, dtype: torch.dtype) -> Tensor:
        """Leaves as rows."""

    @abstractmethod
    def approximate(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """What `decode` gives back for these rows, with gradients."""


class DenseCodec(Codec):
    """Rows as they are."""

    is_exact = True

    def leaves(self, dtype: torch.dtype) -> dict[str, StateLeaf]:
        """All numbers of a row."""
        return {"": StateLeaf((self.heads * self.head_size,), dtype)}

    def encode(self, x: Tensor, dtype: torch.dtype) -> State:
        """The row itself."""
        return {"": x.flatten(-2).to(dtype)}

    def decode(self, leaves: State, dtype: torch.dtype) -> Tensor:
        """The row itself."""
        return leaves[""].unflatten(-1, (self.heads, self.head_size))

    def approximate(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """The row itself."""
        return x.to(dtype)


class PrunedCodec(Codec):
    """The largest numbers of each vector by magnitude, and a bitmap of where they stood; the rest become zero.

    Gradients are those of the product with the mask: a number that is dropped gets none.

    Args:
        heads: vectors in a row.
        head_size: numbers in a vector.
        sparsity: share of the numbers that are dropped; one is kept at least.
    """

    is_exact = False

    def __init__(self, heads: int, head_size: int, sparsity: float) -> None:
        super().__init__(heads, head_size)
        self.keep = max(1, round((1.0 - sparsity) * head_size))

    def leaves(self, dtype: torch.dtype) -> dict[str, StateLeaf]:
        """Per vector `keep` numbers, and a bit for each place."""
        return {
            "_values": StateLeaf((self.heads, self.keep), dtype),
            "_bitmap": StateLeaf((self.heads, -(-self.head_size // 8)), torch.uint8),
        }

    def _kept(self, x: Tensor) -> Tensor:
        """Places of the numbers that are kept; of equal magnitudes the first."""
        order = x.detach().abs().sort(dim=-1, descending=True, stable=True).indices
        return order[..., : self.keep]

    def encode(self, x: Tensor, dtype: torch.dtype) -> State:
        """Numbers in the order of their places, and the bitmap."""
        kept = self._kept(x).sort(-1).values
        mask = torch.zeros(x.shape, dtype=torch.uint8, device=x.device).scatter_(-1, kept, 1)
        return {"_values": x.gather(-1, kept).to(dtype), "_bitmap": _pack(mask, 1)}

    def decode(self, leaves: State, dtype: torch.dtype) -> Tensor:
        """Each number at its place, zeros elsewhere."""
        mask = _unpack(leaves["_bitmap"], 1, self.head_size)
        rank = (mask.cumsum(-1, dtype=torch.int64) - 1).clamp_(min=0)
        return leaves["_values"].gather(-1, rank) * mask

    def approximate(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """The row, zero where it is not kept."""
        mask = torch.zeros(x.shape, dtype=dtype, device=x.device).scatter_(-1, self._kept(x), 1.0)
        return x.to(dtype) * mask


class BlockFloatCodec(Codec):
    """Block floating point: the numbers of a block share a power of two, and each keeps a small signed integer.

    A block whose magnitudes lie below 2^e stores e, from -100 to 127, and round(x / 2^(e - bits + 1)): a number is
    off by half of that step at most, or by one step just below 2^e, which no integer of that width reaches. Blocks
    run over all heads of a row. Gradients pass straight through the rounding.

    Args:
        heads: vectors in a row.
        head_size: numbers in a vector.
        bits: width of an integer, its sign included, up to 24.
        block: numbers that share an exponent.
    """

    is_exact = False

    def __init__(self, heads: int, head_size: int, bits: int, block: int) -> None:
        super().__init__(heads, head_size)
        self.bits, self.block, self.size = bits, block, heads * head_size
        self.blocks = -(-self.size // block)
        # integers that share bytes evenly are packed whole, others bit by bit
        self._field = bits if 8 % bits == 0 else 1

    def leaves(self, dtype: torch.dtype) -> dict[str, StateLeaf]:
        """The integers without gaps, and one exponent a block."""
        return {
            "_mantissas": StateLeaf((-(-self.size * self.bits // 8),), torch.uint8),
            "_exponents": StateLeaf((self.blocks,), torch.int8),
        }

    def _quantise(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Integers of shape (..., blocks, block) and exponents of shape (..., blocks, 1), both int32."""
        padded = functional.pad(x.detach().flatten(-2), (0, self.blocks * self.block - self.size))
        blocks = padded.unflatten(-1, (self.blocks, self.block))
        exponents = torch.frexp(blocks.abs().amax(-1, keepdim=True)).exponent.clamp(-100, 127)
        largest = 2 ** (self.bits - 1) - 1
        mantissas = (blocks / self._steps(exponents)).round().clamp(-largest, largest)
        return mantissas.to(torch.int32), exponents.to(torch.int32)

    def _steps(self, exponents: Tensor) -> Tensor:
        """2^(e - bits + 1), exact: the exponent is written into the bits of a float32."""
        return ((exponents + (128 - self.bits)) << 23).view(torch.float32)

    def _rows(self, mantissas: Tensor, exponents: Tensor, dtype: torch.dtype) -> Tensor:
        flat = (mantissas.to(torch.float32) * self._steps(exponents)).flatten(-2)[..., : self.size]
        return flat.unflatten(-1, (self.heads, self.head_size)).to(dtype)

    def encode(self, x: Tensor, dtype: torch.dtype) -> State:
        """Integers in two's complement, the lowest bits first, and exponents."""
        mantissas, exponents = self._quantise(x)
        integers = mantissas.flatten(-2)[..., : self.size, None]
        places = torch.arange(0, self.bits, self._field, dtype=torch.int32, device=x.device)
        fields = ((integers >> places) & (2**self._field - 1)).flatten(-2)
        return {
            "_mantissas": _pack(fields.to(torch.uint8), self._field),
            "_exponents": exponents[..., 0].to(torch.int8),
        }

    def decode(self, leaves: State, dtype: torch.dtype) -> Tensor:
        """Integer times power of two."""
        parts = self.bits // self._field
        fields = _unpack(leaves["_mantissas"], self._field, self.size * parts)
        fields = fields.unflatten(-1, (self.size, parts)).to(torch.int32)
        places = torch.arange(0, self.bits, self._field, dtype=torch.int32, device=fields.device)
        integers = (fields << places).sum(-1, dtype=torch.int32)
        spare = 32 - self.bits  # two's complement: shifted up and down again, the sign fills the upper bits
        integers = (integers << spare) >> spare
        padded = functional.pad(integers, (0, self.blocks * self.block - self.size))
        exponents = leaves["_exponents"][..., None].to(torch.int32)
        return self._rows(padded.unflatten(-1, (self.blocks, self.block)), exponents, dtype)

    def approximate(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """Rounded numbers, with the gradient of the identity."""
        rounded: Any = _StraightThrough.apply(x.to(dtype), self._rows(*self._quantise(x), dtype))
        return rounded


class _StraightThrough(torch.autograd.Function):
    """Another tensor's numbers with the gradient of x: x + (y - x).detach() would round once more."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        return y

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor, None]:
        return grads[0], None


def _pack(fields: Tensor, width: int) -> Tensor:
    """Numbers of `width` bits, uint8, shape (..., n), as ceil(n * width / 8) bytes; the first in the lowest bits."""
    per_byte = 8 // width
    padded = functional.pad(fields, (0, -fields.shape[-1] % per_byte)).unflatten(-1, (-1, per_byte))
    places = torch.arange(0, 8, width, dtype=torch.uint8, device=fields.device)
    return (padded << places).sum(-1, dtype=torch.uint8)


def _unpack(packed: Tensor, width: int, count: int) -> Tensor:
    """The inverse: the first `count` numbers of `width` bits, uint8, shape (..., count)."""
    places = torch.arange(0, 8, width, dtype=torch.uint8, device=packed.device)
    return ((packed[..., None] >> places) & (2**width - 1)).flatten(-2)[..., :count]
