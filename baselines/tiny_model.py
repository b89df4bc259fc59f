"""A language model small enough to train on one CPU core, made from nothing, its tokenizer too.

    python -m memgym.baselines.tiny_model models/tiny

It has Qwen3's architecture with random weights, and speaks ChatML with Qwen's tool calls, so whatever trains,
serves or runs a Qwen3 from a folder takes it as well. It is no language model yet: it knows no word until it is
trained.

The tokenizer is byte-level BPE, learned from the texts of memgym's own training split: a name that it has never
seen comes out of it as it went in. A digit is a token each, for ids and dates. The punctuation of operations
(`SKELETON`) is not spelled out but single tokens, so that a short completion is one decision and some copied words.
The chat template leaves the schemas of tools out, which would cost hundreds of tokens a prompt.

The same plan gives the same bytes, in any process, with the same versions of torch, tokenizers and transformers.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym

from memgym.baselines.command_line import module_parser
from memgym.core.arguments import check_integer
from memgym.errors import DependencyMissing
from memgym.llm.channels import DATA_END, DATA_START
from memgym.memory import as_action

__all__ = ["RESPONSE_TEMPLATE", "SKELETON", "TinyPlan", "make_tiny_model", "save_tiny_model"]

PAD, TURN, END = "<|pad|>", "<|im_start|>", "<|im_end|>"
CALL, CALL_END = "<tool_call>\n", "\n</tool_call>"

SKELETON = (
    # operations and answers as JSON, see memgym.wrappers.TextActions
    '{"op": "ADD", "text": "',
    '{"op": "UPDATE", "id": "',
    '{"op": "DELETE", "id": "',
    '{"op": "SEARCH", "text": "',
    '{"op": "NOOP"}',
    '{"answer": "',
    '", "text": "',
    '"}',
    # the same as tool calls, see memgym.integrations.trl
    CALL,
    CALL_END,
    '{"name": "add", "arguments": {"text": "',
    '{"name": "update", "arguments": {"id": "',
    '{"name": "delete", "arguments": {"id": "',
    '{"name": "search", "arguments": {"query": "',
    '{"name": "answer", "arguments": {"text": "',
    '{"name": "skip", "arguments": {}}',
    '"}}',
    # the data that a prompt shows
    '{"id": "',
    '"}, {"id": "',
    '", "memory": [',
)
"""What operations are made of besides words: a token each."""

TEMPLATE = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' -}}
{%- if message.role == 'assistant' -%}
{%- generation -%}
{{- message.content or '' -}}
{%- for call in message.tool_calls or [] -%}
{%- set function = call.function or call -%}
{{- '<tool_call>\\n{"name": "' + function.name + '", "arguments": ' -}}
{{- function.arguments if function.arguments is string else function.arguments | tojson -}}
{{- '}\\n</tool_call>' -}}
{%- endfor -%}
{{- '<|im_end|>' -}}
{%- endgeneration -%}
{{- '\\n' -}}
{%- else -%}
{{- (message.content or '') + '<|im_end|>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""

RESPONSE_TEMPLATE: dict[str, Any] = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<|im_start|>assistant\n",
    "fields": {
        "tool_calls": {
            "open_pattern": r"\s*<tool_call>",
            "close": "</tool_call>",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close_pattern": r"\s*(?:<\|im_end\|>|<\|pad\|>)", "content": "text"},
    },
}
"""How transformers and TRL find the tool calls in what the model writes."""


@dataclass(frozen=True)
class TinyPlan:
    """What the model is made of.

    Attributes:
        vocab_size: tokens, those of the skeleton included.
        width: of the hidden state; a head has 16 of it.
        layers: number of blocks.
        context: tokens of prompt and completion together.
        episodes: dialogues whose text the tokenizer is learned from.
        skeleton: what is one token each.
        seed: of the weights and the dialogues.
    """

    vocab_size: int = 1000
    width: int = 64
    layers: int = 3
    context: int = 4096
    episodes: int = 64
    skeleton: tuple[str, ...] = SKELETON
    seed: int = 0

    def __post_init__(self) -> None:
        least = 256 + len(self.skeleton) + 5
        for name, low, high in (
            ("vocab_size", least, 1 << 16),
            ("width", 16, 1024),
            ("layers", 1, 64),
            ("context", 64, 1 << 20),
            ("episodes", 1, 1 << 20),
            ("seed", 0, (1 << 63) - 1),
        ):
            check_integer(name, getattr(self, name), low, high)
        if self.width % 32:
            raise ValueError(f"width is a multiple of 32, not {self.width}.")


def make_tiny_model(plan: TinyPlan | None = None) -> tuple[Any, Any]:
    """The model and its tokenizer, as transformers has them.

    Raises:
        DependencyMissing: torch or transformers is not installed.
    """
    try:
        import torch
        from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM
    except ImportError as error:
        raise DependencyMissing.for_extra(error.name or "torch", "llm,agents", "The tiny model") from None
    plan = plan or TinyPlan()
    tokenizer = _make_tokenizer(plan)
    ids = {
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=plan.width,
        intermediate_size=3 * plan.width,
        num_hidden_layers=plan.layers,
        num_attention_heads=plan.width // 16,
        num_key_value_heads=plan.width // 32,
        head_dim=16,
        max_position_embeddings=plan.context,
        tie_word_embeddings=True,
        **ids,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        model = Qwen3ForCausalLM(config)
    model.generation_config = GenerationConfig(**ids)
    return model.eval(), tokenizer


def save_tiny_model(folder: Path | str, plan: TinyPlan | None = None) -> Path:
    """Make the model and its tokenizer and save both, for ``from_pretrained`` and ``transformers serve``.

    Args:
        folder: to be made; it is there as a whole or not at all.
        plan: by default `TinyPlan()`.

    Returns:
        The folder.

    Raises:
        FileExistsError: there is something in its place.
    """
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(f"{folder} is there already; remove it, or name another folder.")
    model, tokenizer = make_tiny_model(plan)
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        tokenizer.save_pretrained(part)
        model.save_pretrained(part)
        part.chmod(0o755)
        os.rename(part, folder)  # noqa: PTH104 - refuses a folder with something in it, as replace would not
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _make_tokenizer(plan: TinyPlan) -> Any:
    """Byte-level BPE over the texts of the training split, with the skeleton in single tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = (PAD, TURN, END)
    whole = (DATA_START, DATA_END, *plan.skeleton)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=plan.vocab_size - len(whole),
        special_tokens=list(special),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(plan), trainer)
    tokenizer.add_tokens([AddedToken(piece, normalized=False) for piece in whole])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[TURN],
        chat_template=TEMPLATE,
        response_template=RESPONSE_TEMPLATE,
        clean_up_tokenization_spaces=False,  # it would take blanks before punctuation out
        model_max_length=plan.context,
        padding_side="left",
    )


def _texts(plan: TinyPlan) -> Iterator[str]:
    """What is said, asked and answered in the dialogues, in their order."""
    env: Any = gym.make("memgym/DialogueMemory-v0", question_types="all", disable_env_checker=True).unwrapped
    for episode in range(plan.episodes):
        observation, _ = env.reset(seed=plan.seed, options={"episode": episode})
        done = False
        while not done:
            yield " ".join(part for part in (observation["speaker"], observation["time"]) if part)
            yield observation["text"]
            yield env.oracle_state().get("answer", "")
            observation, _, done, _, _ = env.step(as_action())


def main(arguments: list[str] | None = None) -> None:
    """Make the tiny model and save it."""
    parser = module_parser(
        "memgym.baselines.tiny_model",
        "Make a tiny language model with random weights, and its tokenizer.",
        "models/tiny --width 128",
    )
    parser.add_argument("folder", type=Path, help="where to; must not be there yet")
    for name in ("vocab_size", "width", "layers", "context", "seed"):
        default = getattr(TinyPlan(), name)
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=int, default=default, help=f"default {default}"
        )
    given = vars(parser.parse_args(arguments))
    folder = given.pop("folder")
    try:
        save_tiny_model(folder, TinyPlan(**given))
    except (ValueError, FileExistsError) as error:
        parser.error(str(error))
    print(f"wrote {folder}")


if __name__ == "__main__":
    main()
