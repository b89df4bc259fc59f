"""Order Rewriting: a list that is appended to, thinned and reordered while questions ask what stands where."""

from typing import Any, Literal

from memgym.envs.order.arguments import OrderArguments
from memgym.envs.streams.scalar import StreamEnv

__all__ = ["OrderRewriting"]


class OrderRewriting(StreamEnv):
    """Watch a list being edited, operation by operation, and say what stands at a place when asked.

    ## Description
    One operation is shown a step: APPEND x puts item x at the end of the list; REMOVE x takes it out, and those
    behind it close up; FRONT x moves it from where it is to the first place, and those that were before it move
    back by one; AT p asks for the item that stands at place p now, counted from 1, and the action of that step
    is the answer: one of the items, or "none" where the list is shorter. An item is in the list once at most.
    Actions to other operations are not looked at (and are the place for an external memory's own operations, see
    `memgym.wrappers.memory_actions`). Whoever answers is not told whether it was right.

    What comes next does not depend on the answers. At each step it is, by chance: an AT (`query_rate`), a FRONT
    of an item that is not first (`move_rate`), a REMOVE (`remove_rate`), and otherwise an APPEND of an item that
    is not in the list. An AT asks for a place beyond the end, of those up to `capacity`, with probability
    `absent_rate`. Where this is impossible: an empty list gets an item, whatever else was to happen; one of a
    single item gets another instead of a FRONT; a full one is asked for one of its items instead of getting
    another, and instead of a place beyond its end. The last operation of an episode is always an AT.

    With `move_rate` and `remove_rate` 0 the list is written once and then only asked for: order under retention.

    ## Memory Demand
    `capacity` items of log2(`num_items`) bits each, in order. Other tasks bind a value to a key, and an
    overwrite changes one binding; here places are never named when they change, and one edit shifts the items
    of many places at once: the whole memory is to be updated, not a cell of it. Order is tested by POPGym's
    Repeat Previous and Autoencode and by Memory Gym's Mortar Mayhem, but there what was stored is never edited.

    ## Observation Space
    `Box(-1, 1, (n,), float32)`: the operation, the place and the item, 15 numbers with the default arguments.
    All are 0 where nothing is shown, which is after the last action.

    | part | numbers | meaning |
    | --- | --- | --- |
    | operation | 4 | one of them is 1: APPEND, REMOVE, FRONT, AT |
    | place | `capacity` | one of them is 1, with AT only |
    | item | 2 + ceil(log2(num_items)) | a word of digits -1 and 1, with the other operations only |

    A word has the binary digits of a number, highest first, and then its last digit once more: as it is in the
    train split, inverted in the test split. So every word that the test split shows is new, while each single
    digit takes both values in both splits. Item j has two words, those of the numbers 2j and 2j+1, and each
    operation takes either: so which of the last two digits is set means nothing, in the test split as well.
    Places look the same in both splits.

    ## Action Space
    `Discrete(1 + num_items)`: 0 is "none", j is item j - 1.

    ## Rewards
    | case | reward |
    | --- | --- |
    | AT, right answer | 1 |
    | AT, wrong answer | 0 |
    | any other operation | 0 |

    ## Starting State
    An empty list, and the first operation in sight. The seed and the episode number decide every operation.

    ## Episode End
    Terminated after `num_steps` actions. `info["success"]` says then whether all answers were right.

    All of `info` counts from the start of the episode but `is_correct`:

    | key | meaning |
    | --- | --- |
    | `success` | the episode is over, and every AT was answered rightly |
    | `accuracy` | `correct` / `gets`, 0 before the first AT; the score of the episode |
    | `is_correct` | the last action was a right answer |
    | `gets` | ATs answered |
    | `correct` | of these, rightly |
    | `stale_errors` | answered for a place in the list with the item that the last edit took from that place |
    | `leak_errors` | answered for a place beyond the end with the item that the last edit took from it |
    | `cue_blind_errors` | any other wrong answer |
    | `overwrites` | edits seen that put an item in the place of another |

    An edit takes an item from a place when that holds another item afterwards, or none. `correct` and the three
    kinds of errors add up to `gets`.

    ## Arguments
    | name | type | default | meaning |
    | --- | --- | --- | --- |
    | `num_steps` | int | 64 | operations in an episode, 2 to 10000 |
    | `num_items` | int | 8 | items that there are, 2 to 1024 |
    | `capacity` | int | 6 | most items in the list at once, 2 to `num_items` and to 64 |
    | `query_rate` | float | 0.4 | share of ATs, 0 to 1 |
    | `move_rate` | float | 0.2 | share of FRONTs, 0 to 1 |
    | `remove_rate` | float | 0.15 | share of REMOVEs, 0 to 1; the three add up to at most 1 |
    | `absent_rate` | float | 0.2 | share of the ATs that ask for a place beyond the end, 0 to 1 |
    | `split` | str | `"train"` | `"train"` or `"test"`: other episodes, other words |
    | `render_mode` | str | None | `"ansi"`, `"rgb_array"` or `"human"` (prints to the terminal) |

    ## Reference Scores
    Accuracy with the default arguments: oracle 1.0, the first list kept for ever 0.21, no memory 0.19 at best (the
    same answer to every question for a place), random answers 0.11.

    ## Source
    Ours, after the list-update problem (Sleator and Tarjan, 1985), whose operations are insertion, deletion,
    access and move to front.

    ## Version History
    * v0: first version (0.1.0)
    """

    def __init__(
        self,
        num_steps: int = 64,
        num_items: int = 8,
        capacity: int = 6,
        query_rate: float = 0.4,
        move_rate: float = 0.2,
        remove_rate: float = 0.15,
        absent_rate: float = 0.2,
        split: Literal["train", "test"] = "train",
        render_mode: str | None = None,
    ) -> None:
        self.arguments = OrderArguments(
            num_steps, num_items, capacity, query_rate, move_rate, remove_rate, absent_rate, split
        )
        super().__init__(self.arguments, render_mode)

    def instructions(self) -> str:
        """The rules, told to a player that reads text."""
        items = ", ".join(self.action_names[1:3])
        letters = self.arguments.items.letters(self.split == "test")
        return (
            f"You watch a list being edited, in {self._steps} operations, one after the other. It is empty at first. "
            f"'APPEND x' puts item x at its end; 'REMOVE x' takes x out, and those behind it close up; 'FRONT x' "
            f"moves x to the first place, and those that were before it move back by one. At 'AT p' answer with the "
            f"item that stands at place p now, counted from 1, or 'none' if the list is shorter. There are "
            f"{self._num_answers} items: {items}{' and so on' if self._num_answers > 2 else ''}. The letter after "
            f"an item means nothing: x0{letters[0]} and x0{letters[1]} are both x0. To all other operations answer "
            f"'none'; that answer is not looked at."
        )

    def describe(self, observation: Any) -> str:
        """The operation that an observation shows, in words."""
        text = super().describe(observation)
        return f"{text}: answer with the item there or 'none'" if text.startswith("AT") else text
