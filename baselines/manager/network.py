"""What a model thinks of replies: their log-probabilities, and the hidden state that they were written from."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

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
    """Run a causal language model of transformers over prompts with their replies, padded on the right.

    Vocabulary logits are computed for the tokens of replies alone.
    """
    device = model.device
    longest = max(len(row.prompt) + len(row.reply) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.int64)
    mask = torch.zeros(len(rows), longest, dtype=torch.int64)
    places, owners, targets, lasts = [], [], [], []  # places: of the token before each token of a reply
    for i, row in enumerate(rows):
        whole = [*row.prompt, *row.reply]
        ids[i, : len(whole)] = torch.tensor(whole)
        mask[i, : len(whole)] = 1
        first = i * longest + len(row.prompt) - 1
        places += range(first, first + len(row.reply))
        owners += [i] * len(row.reply)
        targets += row.reply
        lasts.append(first)
    states = model.get_decoder()(input_ids=ids.to(device), attention_mask=mask.to(device)).last_hidden_state
    states = states.flatten(0, 1)  # (num_rows * longest, width)
    logits = model.get_output_embeddings()(states[torch.tensor(places, device=device)]).float()
    wanted = torch.tensor(targets, device=device)[:, None]
    logs = logits.log_softmax(-1)
    entropy = -(logs.exp() * logs).sum(-1)
    last = states[torch.tensor(lasts, device=device)].float()
    return Scored(logs.gather(1, wanted)[:, 0], entropy, torch.tensor(owners, device=device), last)
