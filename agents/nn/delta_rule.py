"""The gated delta rule, S[t] = alpha[t] (S[t-1] - beta[t] k (k' S[t-1])) + beta[t] k v', in chunks and in steps.

The chunked form follows the WY representation of "Parallelizing Linear Transformers with the Delta Rule over
Sequence Length" (Yang et al. 2024, arXiv 2406.06484) with the decay of "Gated Delta Networks" (arXiv 2412.06464).
"""

import torch
from torch import Tensor

from memgym.agents.nn.segments import segment_ids

__all__ = ["gated_delta_chunk", "gated_delta_step"]


def gated_delta_step(
    q: Tensor, k: Tensor, v: Tensor, log_alpha: Tensor, beta: Tensor, s: Tensor
) -> tuple[Tensor, Tensor]:
    """One step: decay, erase what is stored under `k`, write `v` there, read `q`.

    Args:
        q: read key, shape (B, H, K).
        k: write key, shape (B, H, K); of unit length for an exact overwrite.
        v: value, shape (B, H, V).
        log_alpha: logarithm of the decay, shape (B, H), at most 0.
        beta: write strength, shape (B, H); 1 replaces, 0 leaves the store as it is.
        s: the store, shape (B, H, K, V).

    Returns:
        What was read, shape (B, H, V), and the next store.
    """
    s = log_alpha.exp()[..., None, None] * s
    found = torch.einsum("bhk,bhkv->bhv", k, s)
    s = s + torch.einsum("bhk,bhv->bhkv", k, beta[..., None] * (v - found))
    return torch.einsum("bhk,bhkv->bhv", q, s), s


def gated_delta_chunk(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_alpha: Tensor,
    beta: Tensor,
    s: Tensor,
    reset: Tensor | None = None,
    chunk: int = 16,
) -> tuple[Tensor, Tensor]:
    """`gated_delta_step` for a sequence, `chunk` steps at once, with an empty store where an episode begins.

    Args:
        q: read keys, shape (T, B, H, K).
        k: write keys, shape (T, B, H, K).
        v: values, shape (T, B, H, V).
        log_alpha: logarithms of the decay, shape (T, B, H).
        beta: write strengths, shape (T, B, H).
        s: the store before the sequence, shape (B, H, K, V).
        reset: where an episode begins, bool, shape (T, B).
        chunk: steps solved together; 16 was fastest on a CPU.

    Returns:
        What was read, shape (T, B, H, V), and the store after the sequence.
    """
    steps, batch, heads, _ = k.shape
    count = -(-steps // chunk)
    padding = count * chunk - steps
    segment = segment_ids(reset, k)
    if reset is not None:
        # what a segment's first step decays is an empty store
        log_alpha = log_alpha.masked_fill(reset[..., None], 0.0)
    if padding:  # no decay and no write: a step that does nothing
        q, k, v = (torch.cat([row, row.new_zeros(padding, *row.shape[1:])]) for row in (q, k, v))
        log_alpha = torch.cat([log_alpha, log_alpha.new_zeros(padding, batch, heads)])
        beta = torch.cat([beta, beta.new_zeros(padding, batch, heads)])
        segment = torch.cat([segment, segment[-1:].expand(padding, batch)])

    def split(row: Tensor) -> Tensor:  # (count * C, B, H, ...) to (count, B, H, C, ...)
        return row.reshape(count, chunk, *row.shape[1:]).movedim(1, 3)

    q, k, v, beta, decay = split(q), split(k), split(v), split(beta), split(log_alpha).cumsum(-1)
    segment = segment.reshape(count, chunk, batch).movedim(1, 2)  # (count, B, C)
    before = torch.cat(
        [segment.new_zeros(1, batch), segment[:-1, :, -1]]
    )  # segment of the store that comes in
    same = (segment[..., :, None] == segment[..., None, :])[:, :, None]  # (count, B, 1, C, C)
    carried = (segment == before[..., None])[:, :, None]  # (count, B, 1, C)
    lower = torch.ones(chunk, chunk, dtype=torch.bool, device=k.device).tril()
    # masked before exp: a difference across segments may be large and positive
    between = (decay[..., :, None] - decay[..., None, :]).masked_fill(~(same & lower), -torch.inf).exp()
    from_start = decay.masked_fill(~carried, -torch.inf).exp()  # (count, B, H, C)

    system = (beta[..., None] * (k @ k.mT) * between).tril(-1)
    identity = torch.eye(chunk, dtype=k.dtype, device=k.device)
    right = torch.cat([beta[..., None] * v, (beta * from_start)[..., None] * k], -1)
    solved = torch.linalg.solve_triangular(identity + system, right, upper=False, unitriangular=True)
    values, erased = solved.split([v.shape[-1], k.shape[-1]], -1)
    read = (q @ k.mT) * between
    q_start = from_start[..., None] * q
    k_end = (k * between[..., -1, :, None]).mT
    outputs = []
    for i in range(count):
        write = values[i] - erased[i] @ s
        outputs.append(q_start[i] @ s + read[i] @ write)
        s = from_start[i, ..., -1, None, None] * s + k_end[i] @ write
    out = torch.stack(outputs).movedim(3, 1).reshape(count * chunk, batch, heads, -1)
    return out[:steps], s
