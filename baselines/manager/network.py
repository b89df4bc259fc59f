"""What a model thinks of replies: their log-probabilities, and the hidden state that they were written from."""

from collections.abc import Sequence
from inspect import signature
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from memgym.agents.llm.lora import trained_weights

__all__ = ["Row", "Scored", "Trained", "score_replies"]


class Row(NamedTuple):
    """A prompt and the reply to it, as token ids; the reply ends with the end token unless it was cut off."""

    prompt: Sequence[int]
    reply: Sequence[int]


class Scored(NamedTuple):
    """Log-probabilities of all tokens of all replies, one after the other.

    Attributes:
        logprobs: shape (num_tokens,).
        entropy: of what could have stood there, in nats, shape (num_tokens,).
        row: which row a token is of, int64, shape (num_tokens,).
        hidden: of the last token of each prompt, shape (num_rows, width).
    """

    logprobs: Tensor
    entropy: Tensor
    row: Tensor
    hidden: Tensor


class Trained(nn.Module):
    """The weights of a model that are trained, alone: a checkpoint of adapters then holds no model."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        for name, weights in trained_weights(model):
            self.register_parameter(name.replace(".", "/"), weights)


def score_replies(model: Any, rows: Sequence[Row]) -> Scored:
    """Run a causal language model of transformers over prompts with their replies.

    A prompt that has several replies is run once, and what the model has computed of it serves all of them.
    Vocabulary logits are computed for the tokens of replies alone.
    """
    device, decoder = model.device, model.get_decoder()
    which: dict[tuple[int, ...], int] = {}  # prompt -> its place among the distinct ones
    of = torch.tensor([which.setdefault(tuple(row.prompt), len(which)) for row in rows], device=device)
    ids, mask = _padded(list(which), device, left=True)
    name = "cache" if "cache" in signature(decoder.forward).parameters else "past_key_values"
    known = {name: DynamicCache(config=model.config)}
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    read = decoder(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, **known)
    hidden = read.last_hidden_state[:, -1][of]  # (num_rows, width)
    known[name].batch_select_indices(of)
    written, real = _padded([row.reply[:-1] for row in rows], device, left=False)
    states = hidden[:, None]
    if written.shape[1]:
        positions = mask.sum(1)[of][:, None] + torch.arange(written.shape[1], device=device)
        both = torch.cat([mask[of], real], 1)
        more = decoder(
            input_ids=written, attention_mask=both, position_ids=positions, use_cache=True, **known
        )
        states = torch.cat([states, more.last_hidden_state], 1)  # (num_rows, longest reply, width)
    targets, is_target = _padded([row.reply for row in rows], device, left=False)
    places = is_target.bool()
    logits = model.get_output_embeddings()(states[places]).float()
    logs = logits.log_softmax(-1)
    entropy = -(logs.exp() * logs).sum(-1)
    owners = torch.arange(len(rows), device=device)[:, None].expand_as(targets)[places]
    return Scored(logs.gather(1, targets[places][:, None])[:, 0], entropy, owners, hidden.float())


def _padded(some: Sequence[Sequence[int]], device: Any, *, left: bool) -> tuple[Tensor, Tensor]:
    """Token ids and the mask of what is no padding, both int64, shape (num, longest)."""
    longest = max(map(len, some))
    ids = torch.zeros(len(some), longest, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for i, one in enumerate(some):
        place = slice(longest - len(one), longest) if left else slice(len(one))
        ids[i, place] = torch.tensor(one, dtype=torch.int64)
        mask[i, place] = 1
    return ids.to(device), mask.to(device)
