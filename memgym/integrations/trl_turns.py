"""A text task for TRL's ``rollout_func``: every turn is a row of its own, with a short, fresh context.

    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer
    from memgym.integrations.trl_turns import TurnRollouts, episode_score

    rollouts = TurnRollouts("memgym/DialogueMemory-v0", reader="extractive")
    rows = rollouts.rows(range(100))
    trainer = GRPOTrainer(
        model,
        reward_funcs=episode_score,
        train_dataset=Dataset.from_list(rows),
        rollout_func=rollouts,
        args=GRPOConfig(shuffle_dataset=False, ...),
    )

A prompt shows the bank and what is said now, and nothing of what was said before, so the cost grows linearly with
the stream. The completion is operations as JSON (`memgym.wrappers.TextActions`). All turns of a rollout get its final
score, and a turn is compared with the same turn of the other rollouts of its episode: the multi-conversation form of
MemAgent (Yu et al. 2025, arXiv 2507.02259).

An episode is played to its end for whichever of its turns are in a batch, so batches of whole episodes waste nothing:
``shuffle_dataset=False``, and a generation batch that is a multiple of turns times generations.

Written for TRL 1.16, where ``rollout_func`` is experimental. This module needs neither TRL nor torch itself.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from memgym.core.arguments import check_integer
from memgym.core.env import MAX_EPISODE
from memgym.integrations.text_play import INSTRUCTION, NOOP, TextPlay
from memgym.integrations.trl import MAX_SEED, make_text_env

__all__ = ["Generate", "TurnRollouts", "episode_score"]

Generate = Callable[[Any, list[list[int]]], list[list[int]]]
"""Given the trainer and prompts as token ids, the completions, each with its end token where it has one."""


class Turn(NamedTuple):
    """Which turn of which episode a row is about; its JSON is the row's prompt."""

    seed: int
    episode: int
    turn: int

    @classmethod
    def parse(cls, prompt: Any) -> "Turn":
        """Read a row's prompt.

        Raises:
            ValueError: not a prompt that `TurnRollouts.rows` has made.
        """
        try:
            value = json.loads(prompt)
            for name, high in (("seed", MAX_SEED), ("episode", MAX_EPISODE), ("turn", MAX_EPISODE)):
                check_integer(name, value[name], 0, high)
            return cls(value["seed"], value["episode"], value["turn"])
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"not a prompt that TurnRollouts.rows has made: {str(prompt)[:80]!r}.") from None


@dataclass
class Rollout:
    """One play of an episode: what is said next, and prompts and completions by turn."""

    play: TextPlay
    message: str | None
    prompts: list[list[int]] = field(default_factory=list)
    completions: list[list[int]] = field(default_factory=list)


class TurnRollouts:
    """Plays episodes for `GRPOTrainer` and hands back one row a turn; give it as ``rollout_func``.

    What a completion cannot be read as is a NOOP, and on a question no answer; it is counted. SEARCH is refused:
    the memory in view is what there is.

    The fields `score` (of the episode, from 0 to 1) and `malformed` (completions of the rollout that could not be
    read) reach the reward functions; `episode_score` is the first as a reward.

    Args:
        env_id: a text task.
        instruction: the system message.
        generate: how to get completions; by default with the trainer's own model and settings.
        batch: prompts generated at the same time by default.
        **kwargs: arguments of the task; with a ``reader``, questions are no turns of the model.

    Raises:
        ValueError: not a text task, or ``max_searches`` among its arguments.
    """

    def __init__(
        self,
        env_id: str,
        *,
        instruction: str = INSTRUCTION,
        generate: Generate | None = None,
        batch: int = 64,
        **kwargs: Any,
    ) -> None:
        check_integer("batch", batch, 1, 1 << 16)
        self.env_id = env_id
        self.instruction = instruction
        self.batch = batch
        self._generate = generate or self._generate_here
        if "max_searches" in kwargs:
            raise ValueError("a row is a turn, so there is no SEARCH here: leave max_searches out.")
        self._kwargs = {"max_searches": 0, **kwargs}
        make_text_env(env_id, **self._kwargs)  # what is wrong shows now

    def rows(self, seeds: Iterable[int], *, episodes: int = 1) -> list[dict[str, Any]]:
        """Rows of a dataset, one for each turn of each episode, in order; it plays them once to count turns.

        Args:
            seeds: from 0.
            episodes: how many of each seed.
        """
        check_integer("episodes", episodes, 1, MAX_EPISODE)
        play = TextPlay(self.env_id, **self._kwargs)
        rows = []
        for seed in seeds:
            for episode in range(episodes):
                message, turn = play.start(seed, episode), 0
                while message is not None:
                    rows.append({"prompt": json.dumps(Turn(int(seed), episode, turn)._asdict())})
                    message, turn = play.reply(NOOP), turn + 1
        return rows

    def __call__(self, prompts: list[Any], trainer: Any) -> dict[str, Any]:
        """Play every episode that the rows ask for, as often as they ask, and return the rows' turns.

        Raises:
            ValueError: a row that is none of `rows`, or a turn that its episode does not have.
        """
        turns = [Turn.parse(prompt) for prompt in prompts]
        seen: Counter[Turn] = Counter()
        places = []  # (seed, episode, which of its rollouts) for each row
        for turn in turns:
            places.append((turn.seed, turn.episode, seen[turn]))
            seen[turn] += 1
        tokenizer = trainer.processing_class
        reserved = sorted(set(tokenizer.all_special_tokens))
        rollouts = {}
        for seed, episode, number in dict.fromkeys(places):
            play = TextPlay(self.env_id, reserved=reserved, **self._kwargs)
            rollouts[seed, episode, number] = Rollout(play, play.start(seed, episode))
        self._play(list(rollouts.values()), trainer)
        scores = {place: rollout.play.finish() for place, rollout in rollouts.items()}
        rows: dict[str, list[Any]] = {"prompt_ids": [], "completion_ids": [], "score": [], "malformed": []}
        for turn, place in zip(turns, places, strict=True):
            rollout = rollouts[place]
            if turn.turn >= len(rollout.prompts):
                raise ValueError(
                    f"{turn} is not there: the episode has {len(rollout.prompts)} turns. Make the rows with the "
                    "same arguments of the task."
                )
            rows["prompt_ids"].append(rollout.prompts[turn.turn])
            rows["completion_ids"].append(rollout.completions[turn.turn])
            rows["score"].append(scores[place])
            rows["malformed"].append(rollout.play.malformed)
        return {**rows, "logprobs": None}

    # ------------------------------------------------------------------ inside

    def _play(self, rollouts: Sequence[Rollout], trainer: Any) -> None:
        """Play all to the end, the current turns of all of them generated together."""
        tokenizer = trainer.processing_class
        live = [(rollout, rollout.message) for rollout in rollouts if rollout.message is not None]
        while live:
            prompts = [self._render(message, tokenizer) for _, message in live]
            completions = self._generate(trainer, prompts)
            for (rollout, _), prompt, ids in zip(live, prompts, completions, strict=True):
                rollout.prompts.append(prompt)
                rollout.completions.append(ids)
                rollout.message = rollout.play.reply(tokenizer.decode(ids, skip_special_tokens=True))
            live = [(rollout, rollout.message) for rollout, _ in live if rollout.message is not None]

    def _render(self, message: str, tokenizer: Any) -> list[int]:
        messages = [{"role": "system", "content": self.instruction}, {"role": "user", "content": message}]
        return tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=False
        )

    def _generate_here(self, trainer: Any, prompts: list[list[int]]) -> list[list[int]]:
        """With the trainer's model, in batches, padded on the left."""
        model, tokenizer = trainer.accelerator.unwrap_model(trainer.model), trainer.processing_class
        completions = []
        for start in range(0, len(prompts), self.batch):
            some = {"input_ids": prompts[start : start + self.batch]}
            inputs = tokenizer.pad(some, padding_side="left", return_tensors="pt").to(model.device)
            out = model.generate(**inputs, generation_config=trainer.generation_config)
            for ids in out[:, inputs["input_ids"].shape[1] :].tolist():
                end = next((i for i, token in enumerate(ids) if token in trainer.eos_token_ids), len(ids) - 1)
                completions.append(ids[: end + 1])
        return completions


def episode_score(completions: Any, score: list[float], **_: Any) -> list[float]:
    """The score of a row's episode as its reward."""
    return score
