"""Text tasks in the forms that other libraries train language models on.

`memgym.integrations.trl` has them for TRL's `GRPOTrainer`. Nothing here is loaded by ``import memgym``.
"""
