"""TaskRevision: plans of several steps that the user fills in, revises, rolls back and asks about."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memgym.core.arguments import check_choice, check_integer, check_number
from memgym.envs.text import TextMemoryEnv
from memgym.stream import Item, Question
from memgym.worlds.task_revision import QUESTION_TYPES, TaskConfig, TaskWorld

__all__ = ["PRESETS", "TaskRevision"]

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "easy": {
        "num_tasks": 2,
        "steps_per_task": 4,
        "revision_rate": 0.4,
        "rollback_rate": 0.2,
        "restructure_rate": 0.0,
        "cancel_rate": 0.0,
        "distractor_rate": 0.0,
        "anaphora_rate": 0.0,
        "dependency_depth": 0,
        "interleaving": 1,
        "num_questions": 10,
        "num_words": 500,
    },
    "medium": {
        "num_tasks": 4,
        "steps_per_task": 5,
        "revision_rate": 0.4,
        "rollback_rate": 0.3,
        "restructure_rate": 0.2,
        "cancel_rate": 0.2,
        "distractor_rate": 0.2,
        "anaphora_rate": 0.3,
        "dependency_depth": 2,
        "interleaving": 2,
        "num_questions": 20,
        "num_words": 2000,
    },
    "hard": {
        "num_tasks": 8,
        "steps_per_task": 7,
        "revision_rate": 0.7,
        "rollback_rate": 0.4,
        "restructure_rate": 0.4,
        "cancel_rate": 0.25,
        "distractor_rate": 0.4,
        "anaphora_rate": 0.5,
        "dependency_depth": 4,
        "interleaving": 4,
        "num_questions": 40,
        "num_words": 10_000,
    },
}
INTEGERS = {  # argument -> range
    "num_tasks": (1, 24),
    "steps_per_task": (3, 8),
    "dependency_depth": (0, 4),
    "interleaving": (1, 24),
    "num_questions": (1, 1000),
    "num_words": (0, 1_000_000_000),
}


class TaskRevision(TextMemoryEnv):
    """A user plans several things at once and changes their mind; know how each plan stands, and how it stood.

    ## Description
    The user and an assistant work on `num_tasks` plans (trips, dinners, builds, forms), each a list of steps. The
    user gives steps their values, revises them, takes changes back ("undo my last 2 changes to the Lisbon trip",
    "go back to how it was before I last gave the hotel a value") and brings them back again; adds, drops, moves and
    breaks down steps; splits, merges, cancels and resumes plans. Some steps depend on others by rules that the user
    states: a step has to be chosen again when another one changes, or is a number that follows from another. Plans
    are interleaved, steps are named by pronouns ("make it Bristol instead") or by their place ("the second main
    step"), the assistant proposes values that are taken or not, and some values are only talked about. Between
    all this stands small talk.

    The truth is a task graph (`memgym.worlds.task_revision.graph`) that is folded from an append-only log.

    ## Memory Demand
    The graph: a value, its price and what it was before for each step, the rules, and the changes that can still be
    taken back (at most the last four of a plan). Told turns take about 70 bytes each; with the preset "medium"
    there are about 60 of them, and under the default budget not all turns fit.

    ## Observation Space
    A `Dict`; see `memgym.envs.text`. `phase` (0 item, 1 question, 2 end), `text`, `speaker` ("User" or
    "Assistant"), `time` (ISO 8601), `choices`, `memory` and `hits` (sequences of entries), `bytes_left`.

    ## Action Space
    `Dict(ops=Sequence(op), answer=Text)`. An op is `Dict(kind, id, text, attrs)` with kinds 0 NOOP, 1 ADD,
    2 UPDATE, 3 DELETE, 4 SEARCH. `memgym.memory.as_action` builds one; `memgym.wrappers` has other views.

    ## Rewards
    0 on items and searches. On a question: with choices 1 for the right option; open: token F1 with the answer, in
    any order where it names several steps. Where no value holds 1 for "Not mentioned in the conversation" or
    another abstention.

    ## Starting State
    An empty bank and the first turn, in which the assistant says what undoing counts. Plans, changes, wording and
    questions are drawn from the seed.

    ## Episode End
    Terminates after the last question. Never truncates.

    ## Arguments
    | name | type | default | meaning |
    | --- | --- | --- | --- |
    | `preset` | str | "medium" | "easy", "medium" or "hard": defaults of the next twelve, in this order: |
    | `num_tasks` | int | 2, 4, 8 | plans, 1 to 24, not counting those that a split makes |
    | `steps_per_task` | int | 4, 5, 7 | steps of a plan as it starts, 3 to 8 |
    | `revision_rate` | float | 0.4, 0.4, 0.7 | chance of a revision after each value given |
    | `rollback_rate` | float | 0.2, 0.3, 0.4 | chance of a rollback after each value given |
    | `restructure_rate` | float | 0, 0.2, 0.4 | chance that steps are added, dropped, moved, broken down, split off |
    | `cancel_rate` | float | 0, 0.2, 0.25 | chance that a plan is cancelled in the end; some are resumed |
    | `distractor_rate` | float | 0, 0.2, 0.4 | chance that another value is talked about and not taken |
    | `anaphora_rate` | float | 0, 0.3, 0.5 | chance of a pronoun where one can stand |
    | `dependency_depth` | int | 0, 2, 4 | length of chains of dependent steps, 0 to 4 (0: no rules) |
    | `interleaving` | int | 1, 2, 4 | plans in progress at a time |
    | `num_questions` | int | 10, 20, 40 | questions, over the last three quarters of the changes |
    | `num_words` | int | 500, 2000, 10000 | words, about; small talk fills up, the changes stay the same |
    | `question_types` | sequence of str | () | which types are asked; (): all |
    | `answer_format` | str | "text" | "text" or "choice" |
    | `num_choices` | int | 4 | options with answer_format="choice", "not mentioned" among them; 3 to 5 |
    | `memory_budget`, `view_bytes`, `max_searches`, `ops`, `reader`, `split`, `render_mode` | | | `TextMemoryEnv` |

    A longer conversation (`num_words`) has the same changes and questions as a shorter one, and its small talk as
    well: scores against length are paired.

    ## Question Types
    Of a value: `current-value` (given once), `revised-value`, `rolled-back-value` (what holds since something was
    taken back), `recomputed-value` (follows from another by a rule), `moved-value` (of a step that came from
    another plan), `previous-value` (what the present one replaced). With the answer unknown: `undone-value` (taken
    back, nothing before it), `invalidated-value` (to be chosen again), `cancelled-value` (of a dropped step or a
    cancelled plan), `unset-value` (never given). What held and does not any more counts as `stale`.
    Of a plan: `open-steps`, `invalid-steps`, `dependents`, `changed-steps` (since a day), `order`, `step-count`,
    `sub-step`, `membership` (which plan holds a value), `total` (of the prices), `task-status`.

    Types take turns; one that the graph does not give at that moment is left out, and where it gives none of
    `question_types`, the question is one of type `order`. The evidence is all that the answer follows from:
    what was undone and the undoing belong to it.

    ## Reference Scores
    The oracle scores 1. Always abstaining scores 1 on the four types whose answer is unknown and 0 on all others,
    about 0.17 over all. With four choices a random answer scores about 0.25.

    ## Source
    Ours. The task graph and the requests to revise, check and roll back follow the Task Memory Engine (Ye, 2025,
    arXiv 2504.08525 and 2505.19436), whose four scripted conversations have 27 turns. Differences: no language
    model writes the text, and answers are known by construction.

    ## Version History
    * v0: first version (0.1.0)
    """

    def __init__(
        self,
        *,
        preset: str = "medium",
        num_tasks: int | None = None,
        steps_per_task: int | None = None,
        revision_rate: float | None = None,
        rollback_rate: float | None = None,
        restructure_rate: float | None = None,
        cancel_rate: float | None = None,
        distractor_rate: float | None = None,
        anaphora_rate: float | None = None,
        dependency_depth: int | None = None,
        interleaving: int | None = None,
        num_questions: int | None = None,
        num_words: int | None = None,
        question_types: Sequence[str] = (),
        answer_format: str = "text",
        num_choices: int = 4,
        **kwargs: Any,
    ) -> None:
        check_choice("preset", preset, PRESETS)
        given = {
            "num_tasks": num_tasks,
            "steps_per_task": steps_per_task,
            "revision_rate": revision_rate,
            "rollback_rate": rollback_rate,
            "restructure_rate": restructure_rate,
            "cancel_rate": cancel_rate,
            "distractor_rate": distractor_rate,
            "anaphora_rate": anaphora_rate,
            "dependency_depth": dependency_depth,
            "interleaving": interleaving,
            "num_questions": num_questions,
            "num_words": num_words,
        }
        chosen = {**PRESETS[preset], **{name: value for name, value in given.items() if value is not None}}
        for name, value in chosen.items():
            if name in INTEGERS:
                check_integer(name, value, *INTEGERS[name])
            else:
                check_number(name, value, 0, 1)
        for type_ in question_types:
            check_choice("each of question_types", type_, QUESTION_TYPES)
        check_choice("answer_format", answer_format, ("text", "choice"))
        check_integer("num_choices", num_choices, 3, 5)
        super().__init__(**kwargs)
        self.config = TaskConfig(
            **chosen,
            num_choices=num_choices if answer_format == "choice" else 0,
            question_types=tuple(question_types),
        )

    def _stream(self, key: int, episode: int) -> Iterator[Item | Question]:
        return TaskWorld(key, self.split, self.config).stream()
