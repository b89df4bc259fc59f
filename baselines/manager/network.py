"""What a model thinks of replies: their log-probabilities, and the hidden state that they were written from."""

from collections.abc import Sequence
from inspect import signature
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from memgym.agents.llm.lora import trained_weights

__all__ = ["Row", "Scored", "Trained", "check_scores", "score_replies"]


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
        read: log-probabilities of what the prompts in `reading` say, shape (num_read,).
    """

    logprobs: Tensor
    entropy: Tensor
    row: Tensor
    hidden: Tensor
    read: Tensor


class Trained(nn.Module):
    """The weights of a model that are trained, alone: a checkpoint of adapters then holds no model."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        for name, weights in trained_weights(model):
            self.register_parameter(name.replace(".", "/"), weights)


def score_replies(model: Any, rows: Sequence[Row], reading: Sequence[Sequence[int]] = ()) -> Scored:
    """Run a causal language model of transformers over prompts with their replies.

    A prompt that has several replies is run once, and what the model has computed of it serves all of them.
    Vocabulary logits are computed for the tokens of replies, and for those of `reading`, alone.

    Args:
        model: which one.
        rows: prompts and replies.
        reading: prompts of `rows` whose own tokens are scored too, all but the first.
    """
    device, decoder = model.device, model.get_decoder()
    which: dict[tuple[int, ...], int] = {}  # prompt -> its place among the distinct ones
    of = torch.tensor([which.setdefault(tuple(row.prompt), len(which)) for row in rows], device=device)
    ids, mask = _padded(list(which), device, left=True)
    name = "cache" if "cache" in signature(decoder.forward).parameters else "past_key_values"
    known = {name: DynamicCache(config=model.config)}
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    prompts = decoder(
        input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, **known
    ).last_hidden_state
    hidden = prompts[:, -1][of]  # (num_rows, width)
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
    logs, logprobs = _of_next(model, states[places], targets[places])
    entropy = -(logs.exp() * logs).sum(-1)
    owners = torch.arange(len(rows), device=device)[:, None].expand_as(targets)[places]
    which_read = [which[tuple(prompt)] for prompt in reading]
    follows = mask[which_read, :-1].bool()
    _, read = _of_next(model, prompts[which_read, :-1][follows], ids[which_read, 1:][follows])
    return Scored(logprobs, entropy, owners, hidden.float(), read)


@torch.no_grad()
def check_scores(model: Any, prompt: Sequence[int], end: int) -> None:
    """Refuse a model whose scores here are not those that it generates by: it would learn for another one.

    Args:
        model: which one.
        prompt: token ids of any.
        end: the token that ends a reply.

    Raises:
        ValueError: they differ.
    """
    ours = score_replies(model, [Row(prompt, [prompt[-1], end])]).logprobs
    ids = torch.tensor([[*prompt, prompt[-1]]], device=model.device)
    logs = model(input_ids=ids).logits[0, -2:].float().log_softmax(-1)
    theirs = logs.gather(1, torch.tensor([[prompt[-1]], [end]], device=model.device))[:, 0]
    exact = next(model.parameters()).dtype == torch.float32
    if not torch.allclose(ours, theirs, rtol=1e-3 if exact else 0.05, atol=1e-3 if exact else 0.1):
        raise ValueError(
            f"{type(model).__name__} makes probabilities of its last layer in a way that is not known here: "
            f"{ours.tolist()} in place of {theirs.tolist()}."
        )


def _of_next(model: Any, states: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of all that could come next, shape (num, vocabulary), and of what does, shape (num,)."""
    logs = _scaled(model.get_output_embeddings()(states).float(), model.config).log_softmax(-1)
    return logs, logs.gather(1, targets[:, None])[:, 0]


def _scaled(logits: Tensor, config: Any) -> Tensor:
    """Logits as some families of models scale and bound theirs: Cohere, Granite, Gemma."""
    if scale := getattr(config, "logit_scale", None):
        logits = logits * scale
    if scale := getattr(config, "logits_scaling", None):
        logits = logits / scale
    if bound := getattr(config, "final_logit_softcapping", None):
        logits = bound * (logits / bound).tanh()
    return logits


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
