"""``python -m memgym``: the same as the ``memgym`` script."""

from memgym.cli import run

if __name__ == "__main__":
    run()
