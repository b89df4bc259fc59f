"""``memgym judge``: a language model's verdicts on the answers of a result."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from memgym.cli.progress import progress
from memgym.core.lines import write_atomically
from memgym.core.result import canonical_json

__all__ = ["judge"]


def judge(
    folder: Annotated[Path, typer.Argument(help="A result bundle.")],
    llm: Annotated[
        str,
        typer.Option(help="The judge: openai:MODEL, openai:MODEL@URL, local:FOLDER_OR_ID or replay:FILE."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="File for the verdicts (JSON).")],
    rules: Annotated[str, typer.Option(help="locomo or longmemeval: how it judges.")] = "locomo",
    record: Annotated[
        Path | None,
        typer.Option(help="Record what the judge says here, and take it from here if it is there."),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Stop before more tokens than this are spent.")
    ] = None,
) -> None:
    """Let a language model judge the open answers of a result, under a metric of its own name.

    The verdicts go to a file of their own. They are no part of the result and of no ranking: they depend on a
    model and a prompt, which the file names. With --record, anyone can check them offline by --llm replay:FILE.

    [dim]Examples:[/dim]

        memgym judge results/rules --llm openai:gpt-4o-mini --record judge.jsonl --out verdicts.json

        memgym judge results/rules --llm replay:judge.jsonl --out verdicts.json
    """
    from memgym.llm import LLMBudget, ModelLLM, make_llm
    from memgym.llm.judge import JUDGES
    from memgym.llm.verdicts import judge_results

    if rules not in JUDGES:
        raise typer.BadParameter(f"--rules is one of {', '.join(JUDGES)}, not {rules!r}.")
    if max_tokens is not None and (max_tokens < 1 or not llm.startswith("openai:")):
        raise typer.BadParameter("--max-tokens is at least 1, and for a server (--llm openai:...).")
    options: dict[str, Any] = {"budget": LLMBudget(max_tokens)} if max_tokens is not None else {}
    with make_llm(llm, record=record, **options) as model, progress("judging") as report:
        if not isinstance(model, ModelLLM):
            raise typer.BadParameter(f"--llm names a model: a rule would be another metric, not {llm!r}.")
        verdicts = judge_results(folder, JUDGES[rules](model), lambda done, total: report(done, total, ""))
    write_atomically(out, canonical_json(verdicts) + b"\n")
    table = Table(header_style="dim", box=None)
    for name in ("task", "type", "judged", verdicts["metric"]):
        table.add_column(name, justify="left" if name in ("task", "type") else "right")
    for task, types in verdicts["tasks"].items():
        for type, row in types.items():
            table.add_row(task, type, str(row["judged"]), f"{row['correct'] / row['judged']:.3f}")
    Console().print(table)
