"""Every score in one place.

A metric's name says whose variant it is, since papers give the name "F1" to different things.
"""

from memgym.scoring.answer import exact_match, is_abstention, normalise, score_answer, token_f1

__all__ = ["exact_match", "is_abstention", "normalise", "score_answer", "token_f1"]
