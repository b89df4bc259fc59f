"""What training and acting refuse, by name; damaged files are `memgym.agents.weights_io.WeightsInvalid`."""

from memgym.errors import MemgymError

__all__ = ["ObservationInvalid", "RewardInvalid", "TrainingDiverged"]


class ObservationInvalid(MemgymError, ValueError):
    """An observation of the wrong shape or type, outside its space, or with numbers that are not finite."""


class RewardInvalid(MemgymError, ValueError):
    """A reward, an episode's end or a privileged target from which nothing can be learned: of another shape or type,
    not finite, or outside its range.
    """


class TrainingDiverged(MemgymError, ArithmeticError):
    """The loss is no longer a number, nor are the weights."""
