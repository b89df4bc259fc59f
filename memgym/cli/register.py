"""``memgym register``: what is published of an agent before the seeds that it will play are known."""

from rich.console import Console
from rich.markup import escape

from memgym.cli.players import AgentsOption, read_agents
from memgym.core.players import dismiss, introduced
from memgym.core.protocol import agent_digest

__all__ = ["register"]


def register(agents: AgentsOption) -> None:
    """Print the digest of agents, of their cards, code and weights, to be listed in the next round.

    Nothing is sent anywhere. Once the round is closed and its beacon is published, play its seeds with
    `memgym evaluate --beacon`.

    [dim]Example:[/dim]

        memgym register --agent my_package.agents:MyAgent
    """
    console = Console(soft_wrap=True, highlight=False)
    for spec in read_agents(agents):
        with introduced(spec) as player:
            card = player.card()
        console.print(f"{agent_digest(card)}  {escape(card['name'])} {escape(str(card['version']))}")
    dismiss()
