"""What ``vf-eval memgym-verifiers`` imports: verifiers finds a taskset by the name of a top-level module."""

from memgym.integrations.verifiers import MemoryEnvironment, MemoryTaskset

__all__ = ["MemoryEnvironment", "MemoryTaskset"]
