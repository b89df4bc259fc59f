"""Count Rewriting: things come, go and leave all at once while questions ask how many there are."""

from typing import Any, Literal

from memgym.envs.count.arguments import CountArguments
from memgym.envs.streams.scalar import StreamEnv

__all__ = ["CountRewriting"]


class CountRewriting(StreamEnv):
    """Watch things of several kinds come and go, and say how many of a kind there are when asked.

    ## Description
    One operation is shown a step: COME x means that one thing of kind x comes, GO x that one of them goes, CLEAR
    x that all of them leave at once; HOW MANY x asks how many of them are there now, and the action of that
    step is the answer: a number from 1 to `max_count`, or "none". Actions to other operations are not looked at
    (and are the place for an external memory's own operations, see `memgym.wrappers.memory_actions`). Whoever
    answers is not told whether it was right.

    What comes next does not depend on the answers. At each step it is, by chance: a HOW MANY (`query_rate`), a
    GO (`go_rate`), a CLEAR (`clear_rate`), and otherwise a COME, of any kind with the same chance. Where this
    is impossible: a kind of which nothing is there gets a COME instead of a GO or a CLEAR; one of which
    `max_count` are there is asked for instead of getting another. The last operation of an episode is always a
    HOW MANY.

    With `go_rate` and `clear_rate` 0 counts only rise.

    ## Memory Demand
    `num_kinds` counts of log2(1 + `max_count`) bits each. No operation shows a count: each new one is to be made
    from the old one, so that a fault stays until the next CLEAR, which asks to forget it all. POPGym's Count
    Recall asks for counts as well, but only ever counts up what was dealt.

    ## Observation Space
    `Box(-1, 1, (n,), float32)`: the operation and the kind, 7 numbers with the default arguments. All are 0
    where nothing is shown, which is after the last action.

    | part | numbers | meaning |
    | --- | --- | --- |
    | operation | 4 | one of them is 1: COME, GO, CLEAR, HOW MANY |
    | kind | 1 + ceil(log2(num_kinds)) | a word of digits -1 and 1; 2 for a single kind |

    A word has the binary digits of a number, highest first, and then its last digit once more: as it is in the
    train split, inverted in the test split. So every kind that the test split shows is new, while each single
    digit takes both values in both splits. Counts are never shown, and mean the same in both splits.

    ## Action Space
    `Discrete(1 + max_count)`: 0 is "none", j is a count of j.

    ## Rewards
    | case | reward |
    | --- | --- |
    | HOW MANY, right answer | 1 |
    | HOW MANY, wrong answer | 0 |
    | any other operation | 0 |

    ## Starting State
    Nothing is there, and the first operation in sight. The seed and the episode number decide every operation.

    ## Episode End
    Terminated after `num_steps` actions. `info["success"]` says then whether all answers were right.

    All of `info` counts from the start of the episode but `is_correct`:

    | key | meaning |
    | --- | --- |
    | `success` | the episode is over, and every HOW MANY was answered rightly |
    | `accuracy` | `correct` / `gets`, 0 before the first HOW MANY; the score of the episode |
    | `is_correct` | the last action was a right answer |
    | `gets` | HOW MANYs answered |
    | `correct` | of these, rightly |
    | `stale_errors` | answered for a kind that is there with its count before the last change, be it "none" |
    | `leak_errors` | answered for a kind that is not there with its count before the last change |
    | `cue_blind_errors` | any other wrong answer |
    | `overwrites` | changes seen of one count to another, neither of them "none" |

    `correct` and the three kinds of errors add up to `gets`.

    ## Arguments
    | name | type | default | meaning |
    | --- | --- | --- | --- |
    | `num_steps` | int | 64 | operations in an episode, 2 to 10000 |
    | `num_kinds` | int | 4 | kinds of things, 1 to 1024 |
    | `max_count` | int | 6 | most things of a kind at once, 1 to 1024 |
    | `query_rate` | float | 0.4 | share of HOW MANYs, 0 to 1 |
    | `go_rate` | float | 0.15 | share of GOs, 0 to 1 |
    | `clear_rate` | float | 0.05 | share of CLEARs, 0 to 1; the three add up to at most 1 |
    | `split` | str | `"train"` | `"train"` or `"test"`: other episodes, other words |
    | `render_mode` | str | None | `"ansi"`, `"rgb_array"` or `"human"` (prints to the terminal) |

    ## Reference Scores
    Accuracy with the default arguments: oracle 1.0, the first count of each kind kept for ever 0.33, no memory 0.23
    at best (the same answer to everything), random answers 0.14.

    ## Source
    Ours, after POPGym's Count Recall (Morad et al., 2023, arXiv:2303.01859), in which nothing ever leaves.

    ## Version History
    * v0: first version (0.1.0)
    """

    def __init__(
        self,
        num_steps: int = 64,
        num_kinds: int = 4,
        max_count: int = 6,
        query_rate: float = 0.4,
        go_rate: float = 0.15,
        clear_rate: float = 0.05,
        split: Literal["train", "test"] = "train",
        render_mode: str | None = None,
    ) -> None:
        self.arguments = CountArguments(
            num_steps, num_kinds, max_count, query_rate, go_rate, clear_rate, split
        )
        super().__init__(self.arguments, render_mode)

    def instructions(self) -> str:
        """The rules, told to a player that reads text."""
        return (
            f"You watch things of {self.arguments.num_kinds} kinds come and go, in {self._steps} operations, one "
            f"after the other. Nothing is there at first. 'COME k' means that one thing of kind k comes, 'GO k' that "
            f"one of them goes, 'CLEAR k' that all of them leave at once. At 'HOW MANY k' answer with the number of "
            f"things of kind k that are there now, {self._num_answers} at most, or 'none'. To all other operations "
            f"answer 'none'; that answer is not looked at."
        )

    def describe(self, observation: Any) -> str:
        """The operation that an observation shows, in words."""
        text = super().describe(observation)
        return f"{text}: answer with a number or 'none'" if text.startswith("HOW MANY") else text
