"""A manager and an answerer learn from each other: whoever does not learn stays as it is meanwhile.

Memory-R1 (Yan et al. 2025, arXiv 2508.19828) trains its manager with a frozen answerer, then the answerer on banks of
the trained manager. Here they take turns, in that order or in the other. Both see nothing but whether answers are
right. It is the game of `memgym.multiagent.memory_team_v0`, with its episodes held as data:
`tests/test_manager_team.py` lets the two play there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from memgym.agents.llm.answerer import Answer, MemoryAnswerer, consult
from memgym.agents.llm.manager import MemoryManager
from memgym.baselines.manager.answers import (
    Banks,
    answer_demonstrations,
    banks_by,
    cases_of,
    everything_added,
    measure_answerer,
    measure_choosers,
    sample_answers,
)
from memgym.baselines.manager.dialogues import Answers, Found, Source
from memgym.baselines.manager.finish import run_model
from memgym.baselines.manager.measure import BASELINES, decided_by, measure, measure_manager, rounded
from memgym.baselines.manager.models import TINY_FRAME, make_chat
from memgym.baselines.manager.network import Row
from memgym.baselines.manager.rollouts import Sample
from memgym.baselines.manager.run import TEST_SEED, make_manager, teach_manager
from memgym.baselines.manager.training import Plan, Record, rollout_dialogues, train_model
from memgym.baselines.manager.warm_up import draw_dialogue
from memgym.baselines.recipe import Run
from memgym.core.arguments import check_choice, check_integer

__all__ = [
    "LEARNS",
    "Team",
    "TeamPlan",
    "answered_by",
    "make_answerer",
    "measure_team",
    "run_team",
    "train_team",
]

LEARNS: dict[str, tuple[str, ...]] = {
    "nobody": (),
    "answerer": ("answerer",),
    "manager": ("manager",),
    "answerer first": ("answerer", "manager"),
    "manager first": ("manager", "answerer"),
}
"""The roles that learn in each round, in turn, by what a recipe calls them."""

TINY_INSTRUCTION = "Name the memories."
FRAME = ('{"question": "', "Memories: ", "none", ", ", *TINY_FRAME, TINY_INSTRUCTION)  # a token each
NAMED = 4  # most memories that a tiny model names


@dataclass(frozen=True)
class TeamPlan:
    """A recipe's ``train`` table for this trainer.

    Args:
        learns: "answerer", "manager", "nobody", or both by turns: "manager first" or "answerer first". Who does not
            learn is no model: such a manager adds everything, such an answerer reads whatever is found.
        rounds: turns of each who learns.
        answerer: arguments of `Plan` for the answerer; rollouts are those of one round.
        manager: the same for the manager.

    Raises:
        ValueError: an argument outside its range.
    """

    learns: str
    rounds: int = 2
    answerer: Mapping[str, Any] = field(default_factory=dict)
    manager: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice("learns", self.learns, LEARNS)
        check_integer("rounds", self.rounds, 1, 1 << 10)
        for role in ("manager", "answerer"):
            check_choice(f"credit of the {role}", self.plan(role).credit, ("local", "ppo"))

    def plan(self, role: str) -> Plan:
        """How a role learns."""
        return Plan(**{"credit": "local", **getattr(self, role)})

    @property
    def roles(self) -> tuple[str, ...]:
        """Who learns, and so is a model, in the order of a round."""
        return LEARNS[self.learns]


@dataclass
class Team:
    """Who manages and who answers; None for who is no model."""

    manager: MemoryManager | None = None
    answerer: MemoryAnswerer | None = None

    def banks(self, source: Source) -> Banks:
        """Banks by the manager."""
        return everything_added(source) if self.manager is None else banks_by(self.manager, source)

    @property
    def answers(self) -> Answers:
        """Answers by the answerer."""
        return _all_read if self.answerer is None else answered_by(self.answerer)


def _all_read(some: Sequence[tuple[str, Found]]) -> list[str]:
    """What a reader makes of everything that a model would be shown."""
    shown = [consult(question, found) for question, found in some]
    return [Answer(tuple(id for id, _ in one.memory)).said(one) for one in shown]


def answered_by(answerer: MemoryAnswerer) -> Answers:
    """A language model that answers, greedily; the same prompt is asked once."""

    def answers(some: Sequence[tuple[str, Found]]) -> list[str]:
        shown = [consult(question, found) for question, found in some]
        distinct = list(dict.fromkeys(shown))
        known = dict(zip(distinct, answerer.answer(distinct), strict=True))
        return [known[one].said(one) for one in shown]

    return answers


def make_answerer(plan: Plan, seed: int) -> MemoryAnswerer:
    """An answerer that has learned nothing yet, or what its model brings along."""
    answerer = make_chat(MemoryAnswerer, plan, seed, FRAME, TINY_INSTRUCTION)
    if plan.model == "tiny":  # it names memories alone: a longer reply is none
        names = ", ".join(str(number) for number in range(1, NAMED + 1))
        answerer.max_new_tokens = len(answerer.ids(f"Memories: {names}"))
    return answerer


def train_team(
    plan: TeamPlan, env: Mapping[str, Any], seed: int, checkpoint: Path | None = None
) -> tuple[Team, dict[str, list[Record]]]:
    """Let the roles that learn take turns; with a checkpoint, from where an interrupted run stopped.

    Args:
        plan: how.
        env: id and arguments of the environment, see `Source`.
        seed: of the models, the dialogues and the sampling.
        checkpoint: common beginning of the names of its files.

    Returns:
        The team, and for each role what the rollouts of its rounds came to.
    """
    source, team = Source(env), Team()
    records: dict[str, list[Record]] = {}
    for number in range(plan.rounds):
        for role in plan.roles:
            file = None if checkpoint is None else checkpoint.with_name(f"{checkpoint.name}.{role}{number}")
            how, first = plan.plan(role), number * plan.plan(role).rollouts
            if number:
                how = replace(how, warm_up_updates=0)
            if role == "manager":
                team.manager = team.manager or make_manager(how, seed)
                source.answers = team.answers
                record = teach_manager(team.manager, how, source, env, seed, first=first, checkpoint=file)
            else:
                team.answerer = team.answerer or make_answerer(how, seed)
                record = _teach_answerer(
                    team.answerer, how, source, team.banks(source), env, seed, first, file
                )
            records.setdefault(role, []).append(record)
    return team, records


def _teach_answerer(
    answerer: MemoryAnswerer,
    plan: Plan,
    source: Source,
    banks: Banks,
    env: Mapping[str, Any],
    seed: int,
    first: int,
    checkpoint: Path | None,
) -> Record:
    """Let an answerer learn from banks of a manager."""

    def demonstrated(of_oracle: bool) -> list[Row]:
        dialogues = [draw_dialogue(source, seed, episode) for episode in range(plan.demonstrations)]
        cases = cases_of(source, dialogues, banks)
        return answer_demonstrations(answerer, cases, seed, of_oracle=of_oracle)

    def sample(number: int) -> list[Sample]:
        cases = cases_of(source, rollout_dialogues(source, plan, seed, first + number), banks)
        return sample_answers(answerer, cases, plan.group_size, (seed << 20) + first + number)

    settings = {"env": dict(env), "plan": vars(plan)}
    return train_model(answerer, plan, demonstrated, sample, seed, settings, checkpoint)


def run_team(run: Run, checkpoint: Path) -> dict[str, Any]:
    """Train and evaluate.

    ``train`` holds the arguments of `TeamPlan`. Evaluations are greedy, of ``episodes`` dialogues that no training
    sees.

    Args:
        run: what to do.
        checkpoint: a name for the files that an interrupted run goes on from.

    Returns:
        Results by evaluation, each with what the manager did (`Measured`), what the answerer did on its banks
        (`Answered`) and what choosers without a model score there; learning curves, CPU seconds of training (None
        where it was interrupted), parameters, dialogues that were played to learn, versions.

    Raises:
        RecipeInvalid: an argument that the trainer, the models or the environment does not take.
    """

    def train() -> tuple[TeamPlan, Team, dict[str, list[Record]]]:
        plan = TeamPlan(**run.train)
        return plan, *train_team(plan, run.env, run.seed, checkpoint)

    def tell(made: tuple[TeamPlan, Team, dict[str, list[Record]]]) -> dict[str, Any]:
        plan, team, records = made
        models = [chat.model for chat in (team.manager, team.answerer) if chat is not None]
        return {
            "curve": {
                f"{role} {number}": record.curve()
                for role, some in records.items()
                for number, record in enumerate(some, 1)
            },
            "params": sum(weights.numel() for model in models for weights in model.parameters()),
            "env_steps": sum(plan.plan(role).played * len(some) for role, some in records.items()),
        }

    return run_model(run, checkpoint, train, lambda made, env: measure_team(env, run.episodes, made[1]), tell)


def measure_team(env: Mapping[str, Any], episodes: int, team: Team) -> dict[str, Any]:
    """What the team does in an environment, greedily, in dialogues that no training sees."""
    source = Source(env)
    source.answers = team.answers
    dialogues = [source.dialogue(TEST_SEED, episode) for episode in range(episodes)]
    if team.manager is None:
        measured = measure(source, dialogues, decided_by(BASELINES["add everything"]), table=False)
    else:
        measured = measure_manager(source, dialogues, team.manager)
    cases = cases_of(source, dialogues, lambda _: measured.banks)
    found: dict[str, Any] = {"accuracy": rounded(measured.accuracy)}
    if team.manager is not None:
        found["manager"] = measured.to_dict()
    if team.answerer is not None:
        found["answerer"] = measure_answerer(cases, team.answerer).to_dict()
    return {**found, "choosers": measure_choosers(cases)}
