"""Key-Value Rewriting: a table that is written, rewritten and erased while questions ask what it holds."""

from typing import Any, Literal

from memgym.envs.key_value.arguments import KeyValueArguments
from memgym.envs.streams.scalar import StreamEnv

__all__ = ["KeyValueRewriting"]


class KeyValueRewriting(StreamEnv):
    """Watch a table change, operation by operation, and say what it holds when asked.

    ## Description
    One operation is shown a step: SET k v writes value v under key k, whether k is new or holds another value;
    DELETE k empties k; GET k asks for the value that k holds now, and the action of that step is the answer:
    one of the values, or "none" where k was deleted or never set. Actions to other operations are not looked at
    (and are the place for an external memory's own operations, see `memgym.wrappers.memory_actions`). Whoever
    answers is not told whether it was right.

    What comes next does not depend on the answers. At each step it is, by chance: a GET (`query_rate`), an
    overwrite, which is a SET of a key that holds another value (`overwrite_rate`), a DELETE (`delete_rate`), and
    otherwise a SET of an empty key. A GET asks for an empty key with probability `absent_rate`. Where this is
    impossible: with no key set, a new one is set instead of an overwrite or DELETE; with `capacity` keys set, one
    is overwritten instead of a new one set. A GET that has no key to ask for is left out, and the step shows
    nothing; so is a GET that finds, among up to 4 keys that it looks at, none whose last change has at least
    `delay` operations between itself and the GET (keys never set have none). The last operation of an episode is
    always a GET, for a key of the other kind or without regard to `delay` where there is no other way.

    ## Memory Demand
    `capacity` values of log2(`vocabulary`) bits with their keys of log2(`num_keys`) bits each, overwritten all
    the time. It tells apart what a memory can do: keep (`overwrite_rate` and `delete_rate` 0), replace, erase,
    and hold much.

    ## Observation Space
    `Box(-1, 1, (n,), float32)`: the operation, the key and the value, 12 numbers with the default arguments.
    All are 0 where nothing is shown, and after the last action.

    | part | numbers | meaning |
    | --- | --- | --- |
    | operation | 3 | one of them is 1: SET, DELETE, GET |
    | key | 1 + ceil(log2(`num_keys`)), at least 2 | a word of digits -1 and 1 |
    | value | 2 + ceil(log2(`vocabulary`)) | a word of digits, with SET only |

    A word has the binary digits of a number, highest first, and then its last digit once more: as it is in the
    train split, inverted in the test split. So every key and every value that the test split shows is new, while
    each single digit takes both values in both splits. Value j has two words, those of the numbers 2j and 2j+1,
    and each SET takes either: so which of the last two digits is set means nothing, in the test split as well.

    ## Action Space
    `Discrete(1 + vocabulary)`: 0 is "none", j is value j - 1.

    ## Rewards
    | case | reward |
    | --- | --- |
    | GET, right answer | 1 |
    | GET, wrong answer | 0 |
    | any other operation | 0 |

    ## Starting State
    An empty table, and the first operation in sight. The seed and the episode number decide every operation.

    ## Episode End
    Terminated after `num_steps` actions. `info["success"]` says then whether all answers were right.

    All of `info` counts from the start of the episode but `is_correct`:

    | key | meaning |
    | --- | --- |
    | `success` | the episode is over, and every GET was answered rightly |
    | `accuracy` | `correct` / `gets`, 0 before the first GET; the score of the episode |
    | `is_correct` | the last action was a right answer |
    | `gets` | GETs answered |
    | `correct` | of these, rightly |
    | `stale_errors` | answered for a key that holds a value with the one that was last taken from it |
    | `leak_errors` | answered for an empty key with the value that was last taken from it |
    | `cue_blind_errors` | any other wrong answer |
    | `overwrites` | overwrites seen |

    Overwrites and DELETEs take values from keys. `correct` and the three kinds of errors add up to `gets`.

    ## Arguments
    | name | type | default | meaning |
    | --- | --- | --- | --- |
    | `num_steps` | int | 64 | operations in an episode, 2 to 10000 |
    | `num_keys` | int | 8 | keys, 1 to 1024 |
    | `capacity` | int | 4 | most keys that hold a value at once, 1 to `num_keys` |
    | `vocabulary` | int | 8 | values, 2 to 1024 |
    | `query_rate` | float | 0.4 | share of GETs, 0 to 0.9 |
    | `overwrite_rate` | float | 0.25 | share of overwrites, 0 to 1 |
    | `delete_rate` | float | 0.1 | share of DELETEs, 0 to 1; the three add up to at most 1 |
    | `absent_rate` | float | 0.2 | share of the GETs that ask for an empty key, 0 to 1 |
    | `delay` | int | 0 | operations between a key's last change and a GET, 0 to `num_steps` - 2 |
    | `split` | str | `"train"` | `"train"` or `"test"`: other episodes, other words |
    | `render_mode` | str | None | `"ansi"`, `"rgb_array"` or `"human"` (prints to the terminal) |

    ## Reference Scores
    Accuracy with the default arguments: oracle 1.0, first value of each key kept for ever 0.37, no memory 0.21
    at best ("none" to everything), random answers 0.11.

    ## Source
    Ours. It joins multi-query associative recall (Arora et al., 2023, arXiv:2312.04927), which never overwrites,
    with the rewriting that Shchendrigin et al., 2026, arXiv:2601.15086 ask of control agents, and with the
    operations ADD, UPDATE and DELETE of memory managers in dialogue.

    ## Version History
    * v0: first version (0.1.0)
    """

    def __init__(
        self,
        num_steps: int = 64,
        num_keys: int = 8,
        capacity: int = 4,
        vocabulary: int = 8,
        query_rate: float = 0.4,
        overwrite_rate: float = 0.25,
        delete_rate: float = 0.1,
        absent_rate: float = 0.2,
        delay: int = 0,
        split: Literal["train", "test"] = "train",
        render_mode: str | None = None,
    ) -> None:
        self.arguments = KeyValueArguments(
            num_steps,
            num_keys,
            capacity,
            vocabulary,
            query_rate,
            overwrite_rate,
            delete_rate,
            absent_rate,
            delay,
            split,
        )
        super().__init__(self.arguments, render_mode)

    def instructions(self) -> str:
        """The rules, told to a player that reads text."""
        some = ", ".join(self.action_names[1:3]) + (" and so on" if self._num_answers > 2 else "")
        letters = self.arguments.values.letters(self.split == "test")
        return (
            f"You watch a table of keys and values change, in {self._steps} operations, one after the other. "
            f"'SET k = v' writes value v under key k and replaces what stood there; 'DELETE k' empties k. At "
            f"'GET k' answer with the value that k holds now, or 'none' if k was deleted or never set. There are "
            f"{self._num_answers} values: {some}. The letter after a value means nothing: v0{letters[0]} and "
            f"v0{letters[1]} are both v0. To all other operations answer 'none'; that answer is not looked at."
        )

    def describe(self, observation: Any) -> str:
        """The operation that an observation shows, in words."""
        text = super().describe(observation)
        return f"{text}: answer with its value or 'none'" if text.startswith("GET") else text
