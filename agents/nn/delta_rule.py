"""The gated delta rule, S[t] = alpha[t] (S[t-1] - beta[t] k (k' S[t-1])) + beta[t] k v', in chunks and in steps.

The chunked form follows the WY representation of "Parallelizing Linear Transformers with the Delta Rule over
Sequence Length" (Yang et al. 2024, arXiv 2406.06484) with the decay of "Gated Delta Networks" (arXiv 2412.06464).
Without the erasing term it is linear attention (Katharopoulos et al. 2020, arXiv 2006.16236).
"""

import torch
from torch import Tensor

from memgym.agents.nn.chunks import Chunks

__all__ = ["gated_delta_chunk", "gated_delta_step"]


def gated_delta_step(
    q: Tensor, k: Tensor, v: Tensor, log_alpha: Tensor | None, beta: Tensor, s: Tensor, *, erase: bool = True
) -> tuple[Tensor, Tensor]:
    """One step: decay, erase what is stored under `k`, write `v` there, read `q`.

    Args:
        q: read key, shape (B, H, K).
        k: write key, shape (B, H, K); of unit length for an exact overwrite.
        v: value, shape (B, H, V).
        log_alpha: logarithm of the decay, shape (B, H), finite and at most 0; None for no decay.
        beta: write strength, shape (B, H); 1 replaces, 0 leaves the store as it is.
        s: the store, shape (B, H, K, V).
        erase: whether what `k` finds is taken out before `v` is added; without, values superpose.

    Returns:
        What was read, shape (B, H, V), and the next store.
    """
    if log_alpha is not None:
        s = log_alpha.exp()[..., None, None] * s
    if erase:
        v = v - (k[..., None, :] @ s)[..., 0, :]
    s = s + k[..., :, None] * (beta[..., None] * v)[..., None, :]
    return (q[..., None, :] @ s)[..., 0, :], s


def gated_delta_chunk(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_alpha: Tensor | None,
    beta: Tensor,
    s: Tensor,
    reset: Tensor | None = None,
    *,
    erase: bool = True,
    chunk: int = 16,
) -> tuple[Tensor, Tensor]:
    """`gated_delta_step` for a sequence, `chunk` steps at once, with an empty store where an episode begins.

    Steps of a chunk depend on each other through what they erase, which is a triangular system: the values that
    are really written, W = (I + A)^-1 (beta V - ...), take its solution once for what the chunk itself holds and
    once for what comes in. Time and memory grow linearly with T.

    Args:
        q: read keys, shape (T, B, H, K).
        k: write keys, shape (T, B, H, K).
        v: values, shape (T, B, H, V).
        log_alpha: logarithms of the decay, shape (T, B, H), finite and at most 0; None for no decay.
        beta: write strengths, shape (T, B, H).
        s: the store before the sequence, shape (B, H, K, V).
        reset: where an episode begins, bool, shape (T, B).
        erase: whether what a key finds is taken out before its value is added.
        chunk: steps solved together; 16 was fastest on a CPU.

    Returns:
        What was read, shape (T, B, H, V), and the store after the sequence.
    """
    chunks = Chunks(k, reset, chunk)
    q, k, v, beta = (chunks.split(row) for row in (q, k, v, beta))
    if log_alpha is None:
        between, from_start = chunks.visible.to(k.dtype), chunks.carried.to(k.dtype)
    else:
        decay = chunks.cumsum(chunks.split(log_alpha))
        # masked before exp: a difference across episodes may be large and positive
        between = decay[..., :, None] - decay[..., None, :]
        between = between.masked_fill(~chunks.visible, -torch.inf).exp()
        from_start = decay.masked_fill(~chunks.carried, -torch.inf).exp()

    values = beta[..., None] * v
    found = [None] * chunks.count
    if erase:
        system = beta[..., None] * (k @ k.mT) * between
        right = torch.cat([values, (beta * from_start)[..., None] * k], -1)
        # only what lies below the diagonal is read
        solved = torch.linalg.solve_triangular(system, right, upper=False, unitriangular=True)
        values, keys = solved.split([v.shape[-1], k.shape[-1]], -1)
        found = keys.unbind(0)
    read = (q @ k.mT) * between
    q_start = from_start[..., None] * q
    k_end = (k * between[..., -1, :, None]).mT
    kept = from_start[..., -1, None, None].expand(chunks.count, *from_start.shape[1:3], 1, 1)

    outputs = []
    # unbind once: indexing in the loop would make the backward pass quadratic in the number of chunks
    parts = (row.unbind(0) for row in (values, q_start, read, k_end, kept))
    for keys_i, (write, q_i, read_i, k_i, kept_i) in zip(found, zip(*parts, strict=True), strict=True):
        if keys_i is not None:
            write = write - keys_i @ s
        outputs.append(q_i @ s + read_i @ write)
        s = kept_i * s + k_i @ write
    return chunks.join(torch.stack(outputs)), s
