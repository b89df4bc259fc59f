"""Every score in one place.

A metric's name says whose variant it is, since papers give the name "F1" to different things. `METRICS` lists those
that compare one answer with one gold; rankings are scored in `memgym.scoring.retrieval`, lists in
`memgym.scoring.ordering`, rates over many questions in `memgym.scoring.outcomes`.
"""

from memgym.registry import Registry
from memgym.scoring.answer import exact_match, is_abstention, normalise, score_answer, token_f1

__all__ = ["METRICS", "exact_match", "is_abstention", "normalise", "score_answer", "token_f1"]

METRICS = Registry(
    "metric",
    {
        "squad-em": "memgym.scoring.answer:exact_match",
        "squad-f1": "memgym.scoring.answer:token_f1",
        "locomo-f1": "memgym.scoring.locomo:locomo_f1",
        "amem-set-f1": "memgym.scoring.overlap:set_f1_amem",
        "memos-set-f1": "memgym.scoring.overlap:set_f1_memos",
        "bleu-1": "memgym.scoring.overlap:bleu_1",
        "rouge-l": "memgym.scoring.overlap:rouge_l",
        "mab-substring-em": "memgym.scoring.memoryagentbench:substring_exact_match",
        "mab-em": "memgym.scoring.memoryagentbench:exact_match",
        "mab-f1": "memgym.scoring.memoryagentbench:f1",
        "babi-em": "memgym.scoring.ordering:babi_exact_match",
    },
    group="memgym.metrics",
)
"""Metrics of one answer, each ``(prediction, gold) -> 0..1``."""
