"""The contracts: environments, agents, rollouts, results, and their verification."""
