"""Questions of a canary: about statements that no chunk tells.

Nobody who reads the stream finds their answers but by chance. So only those are asked whose options were drawn from
one list and are as likely as each other, and whose words say nothing of another question's answer. And no two
questions share an option: what was right once is less likely, or more, to be right again.
"""

from memgym.worlds.long_qa.plan import Draft

__all__ = ["CANARY_ABILITIES", "can_be_asked"]

CANARY_KINDS = {
    "accurate-retrieval": ("single-key",),
    "conflict-resolution": ("single-hop",),
    "string-retrieval": ("key-value", "variable-tracking"),
}
CANARY_ABILITIES = tuple(CANARY_KINDS)


def can_be_asked(ability: str, draft: Draft) -> bool:
    """Whether a canary asks such a question."""
    return draft.kind in CANARY_KINDS.get(ability, ())
