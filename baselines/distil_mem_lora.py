"""Distil MemLoRA: three adapters over one model, each taught one step by what a teacher answered.

::

    python -m memgym.baselines.distil_mem_lora --out models/mem_lora
    python -m memgym.baselines.distil_mem_lora --out models/mem_lora --model Qwen/Qwen2.5-0.5B-Instruct

After Bini et al. 2025, arXiv 2512.04763. The teacher is the rule of each step here, recorded while it plays dialogues
of the training split, most of them with made-up words; any recording of `memgym.llm.Cassette` can take its place.
Adapters are measured on names, values and wordings that no training has. The agent that comes of it is
``make_agent("mem-lora", llm="local:FOLDER/base", adapters={...})``, see `distilled_agent`. An interrupted run goes on
where it stopped when the same command is given again.

What is reached with ``--dialogues 800 --base-updates 1500 --updates 800`` (863 CPU seconds, seed 0, 20 test
dialogues): each adapter of the tiny model foretells its own step better than the others do. Facts are those of the
rules in 0.52 of the turns, operations those of the rules for 0.68 of the facts, and no answer is theirs, for which a
word has to be found in all that was retrieved. On its own the policy does as the teacher in 0.13 of the turns.
"""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from memgym.agents.llm.lora import add_lora, save_lora
from memgym.agents.nn.fitting import minimise
from memgym.agents.policy_agent import PolicyAgent
from memgym.agents.ppo.stochastic import find_device
from memgym.agents.structured.adapters import with_adapters
from memgym.agents.structured.mem_lora import (
    STEPS,
    MemLoRAPolicy,
    distillation_examples,
    mem_lora,
    without_noops,
)
from memgym.agents.structured.steps_facts import Decisions
from memgym.baselines.checkpoints import timed
from memgym.baselines.command_line import module_parser
from memgym.baselines.manager.dialogues import Dialogue, Source
from memgym.baselines.manager.finish import made_with
from memgym.baselines.manager.network import Row, Trained, score_replies
from memgym.baselines.manager.run import TEST_SEED
from memgym.baselines.manager.warm_up import draw_dialogue
from memgym.baselines.recipe_file import load_recipe
from memgym.baselines.tiny_model import SKELETON, TinyPlan, make_tiny_model
from memgym.core.arguments import check_integer
from memgym.core.lines import write_atomically
from memgym.errors import MemgymError
from memgym.llm import LLM, Cassette, LLMRequest, LocalClient, ModelLLM, RulesLLM
from memgym.llm.channels import DATA_END, DATA_START
from memgym.llm.errors import LLMError
from memgym.llm.messages import Client, Completion, OnAnswer
from memgym.llm.usage import Usage
from memgym.memory import MemoryEngine
from memgym.memory.embed import HashingEmbedder
from memgym.memory.store import MemoryStore
from memgym.rng import CounterRNG

TAUGHT = ("extract_facts", "decide_ops", "answer")
ENV = "memory_manager"  # the recipe whose dialogues are played
LONGEST = 128  # tokens of what the tiny model learns to read from
PARTS, PART = 3, 12  # how many parts of that it repeats, and their tokens
PIECES = (  # of what is shown and written, a token each in the tiny model, beside `SKELETON`
    *(STEPS[step].prompt for step in TAUGHT),
    "system\n",
    "user\n",
    "assistant\n",
    '{"text": "',
    '", "speaker": "',
    '", "time": ""}',
    '", "time": ""}, {"text": "',
    '{"fact": "',
    '", "memories": [',
    '{"number": ',
    '"}, {"number": ',
    ', "text": "',
    '"}]}',
    '{"question": "',
    '], "choices": []}',
    '{"facts":[]}',
    '{"facts":["',
    '"]}',
    '{"operations":[{"event":"ADD","number":0,"text":"',
    '{"operations":[{"event":"UPDATE","number":',
    '{"operations":[{"event":"DELETE","number":',
    '{"operations":[{"event":"NOOP","number":0,"text":""}]}',
    ',"text":"',
    ',"text":""}]}',
    '{"answer":"',
    '{"answer":"Not mentioned in the conversation"}',
)


@dataclass(frozen=True)
class Plan:
    """How to distil.

    Args:
        model: "tiny" for a model made from nothing, which first learns to read and repeat; otherwise a folder, or an
            id on the Hugging Face hub.
        rank: of the adapters.
        dialogues: that the teacher plays.
        base_updates: optimiser steps of the tiny model.
        base_rate: their peak learning rate.
        updates: optimiser steps of each adapter.
        learning_rate: their peak learning rate.
        batch: examples of one optimiser step.
        width: of the tiny model.
        layers: of the tiny model.
        seed: of everything random.
        device: where it is taught, e.g. ``"cuda"``.

    Raises:
        ValueError: an argument outside its range.
    """

    model: str = "tiny"
    rank: int = 16
    dialogues: int = 400
    base_updates: int = 400
    updates: int = 300
    base_rate: float = 4e-3
    learning_rate: float = 1e-2
    batch: int = 32
    width: int = 64
    layers: int = 3
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("rank", "dialogues", "base_updates", "updates", "batch"):
            check_integer(name, getattr(self, name), 1, 1 << 20)
        find_device(self.device)


class RuleTeacher(Client):
    """Answers as a language model would whose answers are those of the rules."""

    model = "rules"

    def __init__(self) -> None:
        self.rules = RulesLLM()

    def complete_many(
        self, requests: Sequence[LLMRequest], on_answer: OnAnswer | None = None
    ) -> list[Completion | LLMError]:
        """The rule of each request's step, applied to the data that it shows."""
        answers: list[Completion | LLMError] = []
        for i, request in enumerate(requests):
            step = STEPS[request.step]
            data = request.messages[1].content.removeprefix(DATA_START).removesuffix(DATA_END)
            output = self.rules.run(step, step.input.model_validate_json(data)).output
            answers.append(Completion(output.model_dump_json(), Usage(calls=1), self.model))
            if on_answer is not None:
                on_answer(i, answers[-1])
        return answers


def play(llm: LLM, dialogue: Dialogue) -> tuple[list[list[tuple[str, str, str]]], list[str]]:
    """Let a policy whose steps `llm` carries out remember a dialogue and answer its questions.

    Returns:
        Operations (kind, id, text) of each turn, and the answers.
    """
    store = MemoryStore(MemoryEngine(), MemLoRAPolicy(llm, HashingEmbedder(256)))
    turns = []
    for turn in dialogue.turns:
        done = store.add(turn.said, speaker=turn.speaker)["results"]
        turns.append([(one["event"], one["id"], one["memory"]) for one in done])
    return turns, [store.read(asked.text).answer or "" for asked in dialogue.asked]


def record(file: Path, dialogues: Iterable[Dialogue]) -> None:
    """Record what the teacher answers while it plays; what the file holds already is not asked again."""
    llm = ModelLLM(Cassette(file, RuleTeacher()))
    for dialogue in dialogues:
        play(llm, dialogue)


def examples(file: Path, step: str, tokenizer: Any) -> list[Row]:
    """What one step is taught by, in the order of its length; the prompts are those that `LocalClient` makes."""
    rows = {}
    for example in distillation_examples(file, step):
        prompt = tokenizer.apply_chat_template(example["prompt"], tokenize=False, add_generation_prompt=True)
        reply = example["completion"][0]["content"]
        ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt, reply)]
        rows[prompt] = Row(ids[0], [*ids[1], tokenizer.eos_token_id])
    return sorted(rows.values(), key=lambda row: (len(row.prompt) + len(row.reply), row))


def some_of(rows: Sequence[Row], batch: int, rng: CounterRNG) -> Sequence[Row]:
    """Rows that are about as long, so that there is hardly any padding."""
    first = rng.integer(0, max(0, len(rows) - batch))
    return rows[first : first + batch]


def make_base(plan: Plan, folder: Path, file: Path) -> None:
    """The tiny model, which learns to read what all steps are shown, and to repeat it; it is taught no answer."""
    model, tokenizer = make_tiny_model(
        TinyPlan(width=plan.width, layers=plan.layers, skeleton=SKELETON + PIECES, seed=plan.seed)
    )
    model = model.to(plan.device)
    rows = [row for step in TAUGHT for row in examples(file, step, tokenizer)]
    rows = sorted((row for row in rows if len(row.prompt) <= LONGEST), key=lambda row: (len(row.prompt), row))

    def loss(u: int) -> torch.Tensor:
        rng = CounterRNG(plan.seed).fork(1, u)
        some = [_repeated(row.prompt, rng) for row in some_of(rows, plan.batch, rng)]
        return -score_replies(model, some).logprobs.mean()

    model.train()
    minimise(
        model,
        loss,
        num_updates=plan.base_updates,
        learning_rate=plan.base_rate,
        seed=plan.seed,
        checkpoint=folder.with_name("base.checkpoint.safetensors"),
        settings=vars(plan),
        what="base",
    )

    def save(part: Path) -> None:
        tokenizer.save_pretrained(part)
        model.eval().save_pretrained(part)

    save_whole(folder, save)


def save_whole(folder: Path, save: Callable[[Path], None]) -> None:
    """Save into a folder that is there only when all of it is."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    save(part)
    part.rename(folder)


def _repeated(shown: Sequence[int], rng: CounterRNG) -> Row:
    """What is shown, and parts of it once more, which begin anywhere: to go on with one, it has to be found."""
    parts = [shown[(first := rng.integer(0, len(shown) - 1)) : first + PART] for _ in range(PARTS)]
    return Row(shown[:1], [*shown[1:], *(token for part in parts for token in part)])


def teach(plan: Plan, base: str, step: str, folder: Path, file: Path) -> None:
    """Train the adapter of one step on what the teacher answered, and save it."""
    local = LocalClient(base, device=plan.device)
    model = local.network
    rows, rng = examples(file, step, local.tokenizer), CounterRNG(plan.seed).fork(2)
    adapters = add_lora(model, plan.rank, plan.seed)

    def loss(u: int) -> torch.Tensor:
        return -score_replies(model, some_of(rows, plan.batch, rng.fork(u))).logprobs.mean()

    model.train()
    minimise(
        Trained(model),
        loss,
        num_updates=plan.updates,
        learning_rate=plan.learning_rate,
        seed=plan.seed,
        checkpoint=folder.with_name(f"{step}.checkpoint.safetensors"),
        settings={**vars(plan), "step": step},
        what=step,
    )
    save_whole(folder, lambda part: save_lora(adapters, part))


def nats(out: Path, base: str, file: Path) -> dict[str, dict[str, float]]:
    """For each step, how well each adapter and the bare model foretell the teacher's answers, in nats a token."""
    local = LocalClient(base)
    network = local.network
    rows = {step: examples(file, step, local.tokenizer) for step in TAUGHT}
    adapted = with_adapters(network, adapters_in(out)).eval()

    def mean(step: str) -> float:
        with torch.no_grad():
            scored = [score_replies(network, rows[step][i : i + 64]) for i in range(0, len(rows[step]), 64)]
        return round(float(-torch.cat([one.logprobs for one in scored]).double().mean()), 4)

    found: dict[str, dict[str, float]] = {step: {} for step in TAUGHT}
    with adapted.disable_adapter():
        for step in TAUGHT:
            found[step]["no adapter"] = mean(step)
    for name in TAUGHT:
        adapted.set_adapter(name)
        for step in TAUGHT:
            found[step][name] = mean(step)
    return found


class Compared(LLM):
    """Hands on the teacher's answers, and counts how often a pupil gives the same."""

    def __init__(self, teacher: LLM, pupil: LLM) -> None:
        super().__init__()
        self.teacher, self.pupil = teacher, pupil
        self.asked: Counter[str] = Counter()
        self.same: Counter[str] = Counter()

    def run_many(self, step: Any, inputs: Sequence[Any], *, seed: int = 0) -> list[Any]:
        """Ask both."""
        right = self.teacher.run_many(step, inputs, seed=seed)
        for one, other in zip(right, self.pupil.run_many(step, inputs, seed=seed), strict=True):
            self.asked[step.name] += 1
            self.same[step.name] += not other.error and _effect(one.output) == _effect(other.output)
        return right

    def describe(self, step: Any) -> dict[str, str]:
        """Who is compared with."""
        return self.teacher.describe(step)


def _effect(output: Any) -> Any:
    """Of decisions, those that do something; one that does nothing is like another."""
    if not isinstance(output, Decisions):
        return output
    return [one for one in without_noops(output).operations if one.event != "NOOP"]


def agreement(pupil: LLM, dialogues: Sequence[Dialogue]) -> dict[str, Any]:
    """How often a pupil does as the teacher does.

    Returns:
        ``steps``: share of the same answers to what the teacher was asked, by step. ``turns``: share of the turns at
        which the pupil, left alone with its own memory, does the same operations; ``answers``: of its answers.
    """
    compared = Compared(RulesLLM(), pupil)
    turns, answers = Counter[bool](), Counter[bool]()
    for dialogue in dialogues:
        right, said = play(compared, dialogue)
        own, own_said = play(pupil, dialogue)
        turns.update(a == b for a, b in zip(right, own, strict=True))
        answers.update(a == b for a, b in zip(said, own_said, strict=True))
    return {
        "steps": {step: round(compared.same[step] / n, 4) for step, n in sorted(compared.asked.items())},
        "turns": round(turns[True] / turns.total(), 4),
        "answers": round(answers[True] / answers.total(), 4),
    }


def base_of(plan: Plan, out: Path) -> str:
    """Where the model under the adapters is."""
    return str(out / "base") if plan.model == "tiny" else plan.model


def adapters_in(out: Path) -> dict[str, str]:
    """Where the adapter of each step is."""
    return {step: str(out / step) for step in TAUGHT}


def distilled_agent(out: Path, base: str) -> PolicyAgent:
    """MemLoRA with the adapters of a folder."""
    return mem_lora(f"local:{base}", adapters_in(out))


def _claim(out: Path, plan: Plan) -> None:
    """Refuse a folder that another plan has begun: what is there would pass for what this one makes.

    Raises:
        ValueError: it is another's.
    """
    file, mine = out / "plan.json", vars(plan)
    if file.is_file():
        theirs = json.loads(file.read_bytes())
        if was := [f"{name} {theirs.get(name)!r}" for name in mine if theirs.get(name) != mine[name]]:
            raise ValueError(f"{out} was begun with {', '.join(was)}; remove it, or name another folder.")
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(file, (json.dumps(mine, indent=1) + "\n").encode())


def distil(plan: Plan, out: Path, episodes: int = 20) -> dict[str, Any]:
    """Record the teacher, train what is not there yet, measure.

    Args:
        plan: how.
        out: folder of the recording, the base and the adapters.
        episodes: dialogues of the test split to measure on.

    Returns:
        The plan, CPU seconds of recording and training (None where an interrupted one went on), `nats` and
        `agreement` on the test split, versions. ``distilled.json`` in the folder says the same.
    """
    check_integer("episodes", episodes, 1, 1 << 20)
    env = load_recipe(ENV).env
    source, unseen = Source(env), Source({**env, "split": "test"})
    taught, held_out = out / "teacher.jsonl", out / "held_out.jsonl"
    base = base_of(plan, out)
    _claim(out, plan)

    def train() -> None:
        record(taught, (draw_dialogue(source, plan.seed, episode) for episode in range(plan.dialogues)))
        if plan.model == "tiny" and not (out / "base").is_dir():
            make_base(plan, out / "base", taught)
        for step in TAUGHT:
            if not (out / step).is_dir():
                teach(plan, base, step, out / step, taught)

    _, seconds = timed(train, taught)
    tests = [unseen.dialogue(TEST_SEED, episode) for episode in range(episodes)]
    record(held_out, tests)
    policy = distilled_agent(out, base).make_policy()
    assert isinstance(policy, MemLoRAPolicy)
    found = {
        "plan": vars(plan),
        "cpu_seconds": seconds,
        "episodes": episodes,
        "nats": nats(out, base, held_out),
        "agreement": agreement(policy.reader.llm, tests),
        "versions": made_with(),
    }
    write_atomically(out / "distilled.json", (json.dumps(found, indent=1) + "\n").encode())
    for file in out.glob("*.checkpoint.safetensors"):
        file.unlink()
    return found


def main(arguments: list[str] | None = None) -> None:
    """Distil and print what came of it."""
    default = Plan()
    parser = module_parser(
        "memgym.baselines.distil_mem_lora",
        "Train an adapter for each step of MemLoRA on what rules answered, over one model.",
        "--out models/mem_lora",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the adapters")
    parser.add_argument(
        "--model", default=default.model, help="'tiny' (default), a folder, or an id on the hub"
    )
    for name in ("rank", "dialogues", "base_updates", "updates", "batch", "seed"):
        value = getattr(default, name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value, help=f"default {value}")
    parser.add_argument("--device", default=default.device, help="where it is taught, e.g. cuda; default cpu")
    parser.add_argument("--episodes", type=int, default=20, help="test dialogues to measure on; default 20")
    given = vars(parser.parse_args(arguments))
    out, episodes = given.pop("out"), given.pop("episodes")
    torch.set_num_threads(1)
    try:
        print(json.dumps(distil(Plan(**given), out, episodes), indent=1))
    except (MemgymError, OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
