"""DialogueMemory: a conversation over several sessions whose facts change, with questions in between."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memgym.core.arguments import check_choice, check_integer, check_number
from memgym.envs.text import TextMemoryEnv
from memgym.memory import as_action
from memgym.stream import Item, Question
from memgym.worlds.dialogue import DialogueConfig, DialogueWorld, Paraphrase, lexicon, read_question_types
from memgym.worlds.dialogue.canary import CANARY_TYPES
from memgym.worlds.dialogue.gold import bank_f1

__all__ = ["DialogueMemory"]

MIN_CHOICES, MAX_CHOICES = 3, 8
MAX_SPEAKERS, MAX_EVENTS = 8, 10  # ten phrases in the word list
MAX_WORDS = 20_000_000  # as far as guests' names are different
MAX_WEIGHT = 1000
LIMITS: dict[str, tuple[int, int]] = {
    "num_words": (0, MAX_WORDS),
    "num_sessions": (1, 10_000),
    "turns_per_session": (1, 10_000),
    "num_speakers": (2, MAX_SPEAKERS),
    "num_events": (0, MAX_EVENTS),
    "hops": (2, 4),
    "paraphrase_level": (0, 2),
    "questions_per_session": (1, 1000),
    "question_spacing": (1, 10_000),
}


class DialogueMemory(TextMemoryEnv):
    """People talk; remember what holds, not what held, and forget what they ask to forget.

    ## Description
    Two or more people meet in `num_sessions` dated sessions. They tell facts about themselves (where they live,
    what they work as, ...) and things that they did ("two weeks ago I ..."), among small talk. Some facts change
    in a later session; for some, the speaker later asks to forget them. With more question types, they also tell
    who is who, collect things, teach rules, contradict each other, tell secrets; and texts of no authority order
    to store something false. After each session come questions about the world as it stands then.

    With `num_words`, small talk fills the conversation up to that length, between each session and its
    questions: the same is told and asked, further apart, so curves of score against length are paired. Guests come
    with the filler and tell, change and take back facts of their own at a constant rate, and are asked about up to
    two million words later. Nothing is kept: a turn is written from the seed and its place alone.

    ## Memory Demand
    At most `num_facts` facts and `num_events` dates have to be kept, about 60 bytes each as told, and with all
    question types about as much again. All turns together take about 50 bytes each, those of the filler 250.
    Under the default budget not all turns fit.

    ## Observation Space
    A `Dict`; see `memgym.envs.text`. `phase` (0 item, 1 question, 2 end), `text`, `speaker`, `time` (ISO 8601),
    `choices`, `memory` and `hits` (sequences of entries), `bytes_left`.

    ## Action Space
    `Dict(ops=Sequence(op), answer=Text)`. An op is `Dict(kind, id, text, attrs)` with kinds 0 NOOP, 1 ADD,
    2 UPDATE, 3 DELETE, 4 SEARCH. `memgym.memory.as_action` builds one; `memgym.wrappers` has other views.

    ## Rewards
    0 on items and searches. On a question: with choices 1 for the right option; open: token F1 with the answer.
    Where the answer is unknown 1 for "Not mentioned in the conversation" or another abstention. In between 0 and 1
    nothing else is given.

    With `op_reward`, each step adds that weight times the change in F1 between the bank and the *gold bank*: what
    has to be kept at that moment for all that may be asked, and nothing else. An entry has a fact of it where it
    says whom it is about and what. The sum over an episode then is no score; ``info["score"]`` never counts it.

    ## Starting State
    An empty bank and the first turn. People, facts, dates, wording and questions are drawn from the seed.

    ## Episode End
    Terminates after the last question. Never truncates.

    ## Arguments
    Those of length and difficulty are None by default, which takes the number of the preset. Without `num_words`
    an episode has about 400 words, with the presets 1200, 3000 and 8900.

    | name | type | no preset | easy | medium | hard | meaning |
    | --- | --- | --- | --- | --- | --- | --- |
    | `preset` | str | | | | | None, "easy", "medium" or "hard" |
    | `num_words` | int | 0 | 0 | 0 | 0 | about how long it is; 0 for no filler |
    | `num_sessions` | int | 4 | 8 | 10 | 16 | sessions, at least 1 |
    | `turns_per_session` | int | 16 | 20 | 40 | 64 | turns of each, small talk included |
    | `num_speakers` | int | 2 | 2 | 3 | 5 | people, 2 to 8 |
    | `num_facts` | int | 8 | 8 | 14 | 28 | attributes told, up to 8 for each speaker |
    | `num_events` | int | 4 | 4 | 7 | 10 | dated happenings, 0 to 10 |
    | `update_rate` | float | 0.5 | 0.4 | 0.5 | 0.7 | chance that a fact changes later |
    | `forget_rate` | float | 0.25 | 0.3 | 0.4 | 0.4 | chance that a fact is to be forgotten later |
    | `distractor_ratio` | float | 0 | 0 | 0.15 | 0.3 | small talk that tells a fact about a stranger |
    | `hops` | int | 2 | 2 | 3 | 4 | facts in a multi-hop chain, at most, 2 to 4 |
    | `paraphrase_level` | int | 1 | 0 | 1 | 2 | 0: one wording for each thing; 1: several; 2: also |
    | | | | | | | sentences around it, weekdays for dates, and answers to a question of the turn before |
    | `questions_per_session` | int | 4 | 6 | 10 | 14 | questions after a session, at most |
    | `question_spacing` | int | 1 | 1 | 1 | 2 | sessions from one round of questions to the next |
    | `question_types` | str or list | "basic" | "all" | "all" | "all" | "basic", "all" or names from the list below |

    | name | type | default | meaning |
    | --- | --- | --- | --- |
    | `answer_format` | str | "text" | "text" or "choice" |
    | `num_choices` | int | 4 | options with answer_format="choice", "not mentioned" among them |
    | `canary` | bool | False | nothing that is asked is ever told: in the place of statements comes small talk, and |
    | | | | the questions are about facts that only the generator knows. Who answers better than by chance has not |
    | | | | found it in the conversation. Needs answer_format="choice" |
    | `op_reward` | float | 0 | weight of the reward for operations, at least 0 |
    | `paraphrase` | callable | None | (text, strings that have to stay) -> text; rewrites statements, e.g. with |
    | | | | a language model. One that loses such a string, or names another value, is not |
    | | | | taken; ``info["paraphrase_rejected"]`` counts those |
    | `memory_budget`, `view_bytes`, `max_searches`, `ops`, `reader`, `split`, `render_mode` | | | `TextMemoryEnv` |

    ## Question Types
    Basic: `single-hop` (told once), `knowledge-update` (changed since; the old value counts as `stale`), `deletion`
    (asked to forget: the right answer is unknown, the old value counts as `leaked`), `temporal` (the date of a
    happening told with a relative date), `abstention` (nobody here told it), `speaker-swap` (told by another
    person, never by this one).

    Further: `multi-hop` (whose sister works where, in which town, what the town is famous for), `cross-session`
    (two facts told in different sessions), `aggregation` (how many), `temporal-order` (which was first),
    `duration` (days between two happenings), `previous-value` and `change-count` (of what changed; the latter
    needs 5 sessions), `contradiction` (speakers disagree; a rule stated at the beginning says whose word counts,
    or that it is "Conflicting accounts"), `cascade` (a commute after a move is unknown), `preference` (shown,
    never said), `attribution` (whose opinion), `test-time-learning` (apply a rule that was taught), `summary`
    (what somebody talked about most), `isolation` (a secret is for who told and who heard it; to others who ask,
    the answer is unknown and the value counts as `leaked`), `injection` (a text without authority ordered to
    store another value, which counts as `attacked`).

    ## Reference Scores
    The oracle scores 1 on every type. With four choices a random answer scores 0.25. Always abstaining scores 1 on
    `deletion`, `abstention` and `speaker-swap`, about a quarter on `cascade`, half on `isolation`, 0 on the others;
    over all 0.48 by default and about 0.2 with the presets. Who only knows that something was told finds it among
    four choices one time in three (half of the time for `change-count` in fewer than 7 sessions).

    ## Source
    Ours. The question types follow LoCoMo (Maharana et al., 2024), LongMemEval (Wu et al., 2025), MemoryAgentBench
    (Hu et al., 2025), BEAM and MEME's deletion and cascade probes. Differences: no language model writes the text,
    and answers are known by construction.

    ## Version History
    * v0: first version (0.1.0)
    """

    def __init__(
        self,
        *,
        preset: str | None = None,
        num_words: int | None = None,
        num_sessions: int | None = None,
        turns_per_session: int | None = None,
        num_speakers: int | None = None,
        num_facts: int | None = None,
        num_events: int | None = None,
        update_rate: float | None = None,
        forget_rate: float | None = None,
        distractor_ratio: float | None = None,
        hops: int | None = None,
        paraphrase_level: int | None = None,
        questions_per_session: int | None = None,
        question_spacing: int | None = None,
        question_types: str | Sequence[str] | None = None,
        answer_format: str = "text",
        num_choices: int = 4,
        canary: bool = False,
        op_reward: float = 0.0,
        paraphrase: Paraphrase | None = None,
        **kwargs: Any,
    ) -> None:
        check_choice("answer_format", answer_format, ("text", "choice"))
        check_integer("num_choices", num_choices, MIN_CHOICES, MAX_CHOICES)
        check_number("op_reward", op_reward, 0, MAX_WEIGHT)
        super().__init__(**kwargs)
        self.config = DialogueConfig.of(
            preset,
            num_words=num_words,
            num_sessions=num_sessions,
            turns_per_session=turns_per_session,
            num_speakers=num_speakers,
            num_facts=num_facts,
            num_events=num_events,
            update_rate=update_rate,
            forget_rate=forget_rate,
            distractor_ratio=distractor_ratio,
            hops=hops,
            paraphrase_level=paraphrase_level,
            questions_per_session=questions_per_session,
            question_spacing=question_spacing,
            question_types=read_question_types(question_types),
            num_choices=num_choices if answer_format == "choice" else 0,
            canary=canary,
        )
        if canary and (answer_format == "text" or not {*CANARY_TYPES} & {*self.config.question_types}):
            raise ValueError(
                "canary=True needs answer_format='choice', for chance to be known, and one of "
                f"{', '.join(CANARY_TYPES)} among question_types."
            )
        for name, (low, high) in LIMITS.items():
            check_integer(name, getattr(self.config, name), low, high)
        for name in ("update_rate", "forget_rate", "distractor_ratio"):
            check_number(name, getattr(self.config, name), 0, 1)
        most = self.config.num_speakers * len(lexicon(self.split).slots)
        check_integer("num_facts", self.config.num_facts, 1, most)
        self.op_reward = op_reward
        self.paraphrase = paraphrase

    @classmethod
    def has_canary(cls, kwargs: Mapping[str, Any]) -> bool:
        """Where there are choices: chance is known then."""
        return kwargs.get("answer_format") == "choice"

    def canary_chance(self) -> float:
        """The best expected score in a canary for who sees the conversation alone: one of the values offered."""
        return 1.0 / (self.config.num_choices - 1)  # one option is "not mentioned", and never right there

    def _stream(self, key: int, episode: int) -> Iterator[Item | Question]:
        self._world = DialogueWorld(key, self.split, self.config, self.paraphrase)
        return self._world.stream()

    def step(self, action: dict[str, Any]) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """As in every text task; with `op_reward`, better or worse memory is rewarded at once."""
        if not self.op_reward or self._now is None:
            return super().step(action)
        id, seq, before = self._now.id, self.bank.seq, self._texts()
        observation, reward, terminated, truncated, info = super().step(action)
        if self.bank.seq != seq:
            needed = self._world.needed(id)
            reward += self.op_reward * (bank_f1(self._texts(), needed) - bank_f1(before, needed))
        return observation, reward, terminated, truncated, info

    def _texts(self) -> list[str]:
        return [entry.text for entry in self.bank.get_all()]

    def _info(self, refused: list[dict[str, Any]]) -> dict[str, Any]:
        info = super()._info(refused)
        if self.paraphrase is not None:
            info["paraphrase_rejected"] = self._world.writer.rejections
        return info

    def oracle_state(self) -> dict[str, Any]:
        """The current question with its answer and evidence, and the gold bank: (about whom, what) it has to say."""
        state = super().oracle_state()
        if self._now is not None:
            state["gold_bank"] = self._world.needed(self._now.id)
        return state

    def oracle_action(self) -> dict[str, Any]:
        """The right answer on a question, nothing on an item."""
        return as_action(answer=super().oracle_state().get("answer", ""))

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state.pop("_world", None)  # drawn again with the stream
        return state
