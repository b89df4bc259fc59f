"""Memory tasks for several agents, as PettingZoo environments: `memory_team_v0`."""
