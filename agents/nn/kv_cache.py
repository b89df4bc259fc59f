"""Transformers with a compressed cache: each stored key and value pruned, or rounded to small integers."""

from dataclasses import replace
from typing import Any, ClassVar

from memgym.agents.nn.kv_codecs import BlockFloatCodec, PrunedCodec
from memgym.agents.nn.transformer import Transformer
from memgym.core.arguments import check_integer, check_number

__all__ = ["BFPTransformer", "PrunedTransformer"]


class PrunedTransformer(Transformer):
    """A `Transformer` whose cache keeps the largest numbers of each key and value, each head by itself.

    Pruning by magnitude token by token, stored as numbers and a bitmap, after "Mustafar" (Joo et al. 2025, arXiv
    2505.22913). There the newest tokens stay dense and a trained model is compressed; here every key and value is
    pruned, the present step's too, in training as in acting, so that the state has the small size and the model
    learns to live with it. Gradients are natural: numbers that are dropped get none.

    What is kept is chosen in double precision, so that a sequence and its steps choose alike; see `choice_dtype`.
    Several layers in one memory keep that promise. In a stack of memories the input of the second already differs in
    its last bit, and now and then a choice with it.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        sparsity: share of the numbers that are dropped, in [0, 1]; one a head is kept at least, and 0 keeps all.
        **config: as for `Transformer`.

    Raises:
        ValueError: an argument outside its range.
    """

    spec: ClassVar = replace(Transformer.spec, paper="Joo et al. 2025, arXiv 2505.22913")

    def __init__(self, d_in: int, d_out: int, *, sparsity: float = 0.5, **config: Any) -> None:
        super().__init__(d_in, d_out, **config)
        check_number("sparsity", sparsity, 0, 1)
        self.codec = PrunedCodec(self.heads, self.head_size, sparsity)


class BFPTransformer(Transformer):
    """A `Transformer` whose cache holds small integers: blocks of numbers with a shared power of two.

    Every key and value is rounded, the present step's too, in training as in acting. Gradients pass straight
    through the rounding within one `forward`; a cache of integers passes none. It rounds in double precision, for the
    reason given at `PrunedTransformer`.

    Args:
        d_in: size of an input.
        d_out: size of an output.
        bits: bits of an integer, its sign included, from 2 to 24. The largest number of a block has them all, one
            2^n times smaller n fewer: 24 are nearly float32 for the former, not for the latter.
        block: numbers that share an 8-bit exponent.
        **config: as for `Transformer`.

    Raises:
        ValueError: an argument outside its range.
    """

    spec: ClassVar = replace(
        Transformer.spec, paper="Wilkinson 1963 (block floating point); Darvish Rouhani et al. 2020 (MSFP)"
    )

    def __init__(self, d_in: int, d_out: int, *, bits: int = 4, block: int = 16, **config: Any) -> None:
        super().__init__(d_in, d_out, **config)
        check_integer("bits", bits, 2, 24)
        check_integer("block", block, 1, 1 << 16)
        self.codec = BlockFloatCodec(self.heads, self.head_size, bits, block)
