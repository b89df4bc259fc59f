"""DialogueMemory: a conversation over several sessions whose facts change, with questions in between."""

from collections.abc import Iterator
from typing import Any

from memgym.envs.text import TextMemoryEnv
from memgym.stream import Item, Question
from memgym.worlds.dialogue import DialogueConfig, DialogueWorld

__all__ = ["DialogueMemory"]

MIN_CHOICES, MAX_CHOICES = 3, 8
MAX_FACTS, MAX_EVENTS = 16, 10  # two people with eight attributes each; phrases in the word list


class DialogueMemory(TextMemoryEnv):
    """Two people talk; remember what holds, not what held, and forget what they ask to forget.

    ## Description
    Two people meet in `num_sessions` dated sessions. They tell facts about themselves (where they live, what
    they work as, ...) and things that they did ("two weeks ago I ..."), among small talk. Some facts change in a
    later session; for some, the speaker later asks to forget them. After each session come questions about the
    world as it stands then.

    ## Memory Demand
    At most `num_facts` facts and `num_events` dates have to be kept, about 60 bytes each as told; all turns
    together take about 50 bytes each. Under the default budget not all turns fit.

    ## Observation Space
    A `Dict`; see `memgym.envs.text`. `phase` (0 item, 1 question, 2 end), `text`, `speaker`, `time` (ISO 8601),
    `choices`, `memory` and `hits` (sequences of entries), `bytes_left`.

    ## Action Space
    `Dict(ops=Sequence(op), answer=Text)`. An op is `Dict(kind, id, text, attrs)` with kinds 0 NOOP, 1 ADD,
    2 UPDATE, 3 DELETE, 4 SEARCH. `memgym.memory.as_action` builds one; `memgym.wrappers` has other views.

    ## Rewards
    0 on items and searches. On a question: with choices 1 for the right option; open: token F1 with the answer.
    Where the answer is unknown (deletion, abstention) 1 for "Not mentioned in the conversation" or another
    abstention. In between 0 and 1 nothing else is given.

    ## Starting State
    An empty bank and the first turn. People, facts, dates, wording and questions are drawn from the seed.

    ## Episode End
    Terminates after the last question. Never truncates.

    ## Arguments
    | name | type | default | meaning |
    | --- | --- | --- | --- |
    | `num_sessions` | int | 4 | sessions, at least 1 |
    | `turns_per_session` | int | 16 | turns of each, small talk included |
    | `num_facts` | int | 8 | attributes told, 1 to 16 |
    | `num_events` | int | 4 | dated happenings, 0 to 10 |
    | `update_rate` | float | 0.5 | chance that a fact changes later |
    | `forget_rate` | float | 0.25 | chance that a fact is to be forgotten later |
    | `questions_per_session` | int | 4 | questions after each session, at most |
    | `answer_format` | str | "text" | "text" or "choice" |
    | `num_choices` | int | 4 | options with answer_format="choice", "not mentioned" among them |
    | `memory_budget`, `view_bytes`, `max_searches`, `reader`, `split`, `render_mode` | | | see `memgym.envs.text` |

    ## Question Types
    `single-hop` (told once), `knowledge-update` (changed since; the old value counts as `stale`), `deletion`
    (asked to forget: the right answer is unknown, the old value counts as `leaked`), `temporal` (the date of a
    happening told with a relative date), `abstention` (told by the other person, never by this one).

    ## Reference Scores
    The oracle scores 1. With four choices a random answer scores 0.25. Always abstaining scores the share of
    deletion and abstention questions (about 0.35).

    ## Source
    Ours. The question types follow LoCoMo (Maharana et al., 2024), LongMemEval (Wu et al., 2025) and MEME's
    deletion probes. Differences: no language model writes the text, and answers are known by construction.

    ## Version History
    * v0: first version (0.1.0)
    """

    def __init__(
        self,
        *,
        num_sessions: int = 4,
        turns_per_session: int = 16,
        num_facts: int = 8,
        num_events: int = 4,
        update_rate: float = 0.5,
        forget_rate: float = 0.25,
        questions_per_session: int = 4,
        answer_format: str = "text",
        num_choices: int = 4,
        **kwargs: Any,
    ) -> None:
        _check("num_sessions", num_sessions, 1, 10_000)
        _check("turns_per_session", turns_per_session, 1, 10_000)
        _check("num_facts", num_facts, 1, MAX_FACTS)
        _check("num_events", num_events, 0, MAX_EVENTS)
        _check("update_rate", update_rate, 0, 1)
        _check("forget_rate", forget_rate, 0, 1)
        _check("questions_per_session", questions_per_session, 1, 1000)
        _check("num_choices", num_choices, MIN_CHOICES, MAX_CHOICES)
        if answer_format not in ("text", "choice"):
            raise ValueError(f"answer_format is 'text' or 'choice', not {answer_format!r}.")
        super().__init__(**kwargs)
        self.config = DialogueConfig(
            num_sessions=num_sessions,
            turns_per_session=turns_per_session,
            num_facts=num_facts,
            num_events=num_events,
            update_rate=update_rate,
            forget_rate=forget_rate,
            questions_per_session=questions_per_session,
            num_choices=num_choices if answer_format == "choice" else 0,
        )

    def _stream(self, key: int, episode: int) -> Iterator[Item | Question]:
        return DialogueWorld(key, self.split, self.config).stream()


def _check(name: str, value: float, low: float, high: float) -> None:
    whole = not name.endswith("_rate")
    if not low <= value <= high or (whole and not isinstance(value, int)):
        kind = "an integer" if whole else "a number"
        raise ValueError(f"{name} is {kind} from {low} to {high}, not {value!r}.")
