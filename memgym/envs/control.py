"""What the control environments share in their scalar form: words for text players, pictures, render modes."""

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from memgym.core.env import MemoryEnv
from memgym.registry import load_object

__all__ = ["ControlEnv", "render_view"]

TEXT_MODES = ("ansi", "human")


class ControlEnv(MemoryEnv[NDArray[Any], np.int64]):
    """A memory task with a small array as observation and a discrete action.

    Subclasses set `action_names` and `render_module`, and say in words what a player must know
    (`instructions`) and sees (`describe`), so that a language model plays the same episodes.

    Attributes:
        action_names: a short name for each action, in order.
        render_module: dotted name of the module that draws, with ``draw_text`` and ``draw_image``.
        pictures_reveal: whether pictures show what the agent has to remember: those are for watching, not for
            playing.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "rgb_array", "human"], "render_fps": 8}
    family = "control"
    metric = "success"
    render_module: ClassVar[str]
    pictures_reveal: ClassVar[bool] = False
    action_names: tuple[str, ...]

    def instructions(self) -> str:
        """The rules, told to a player that reads text."""
        raise NotImplementedError

    def describe(self, observation: NDArray[Any]) -> str:
        """What an observation says, in words; a function of the observation alone."""
        raise NotImplementedError

    def reference_scores(self) -> dict[str, float]:
        """Expected scores that follow from the rules, by policy: ``"random"`` (an upper bound),
        ``"cue-blind"`` (the best without memory) and ``"first-cue"`` (keeps what it saw first), as far as
        they can be computed.
        """
        raise NotImplementedError

    def view(self) -> Any:
        """All that a picture of this moment shows."""
        raise NotImplementedError

    def _refusal(self, action: Any) -> ValueError:
        names = ", ".join(f"{i} ({name})" for i, name in enumerate(self.action_names))
        return ValueError(f"action is one of {names}, not {action!r}.")

    def _check_render_mode(self, render_mode: str | None) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode is 'ansi', 'rgb_array', 'human' or None, not {render_mode!r}.")
        self.render_mode = render_mode

    def render(self) -> Any:
        """The present frame: text for ``"ansi"``, an image for ``"rgb_array"``, printed for ``"human"``."""
        if self.render_mode is None:
            gym.logger.warn("render() needs a render_mode: make the environment with render_mode='ansi'.")
            return None
        frame = render_view(self.render_module, self.render_mode, self.view())
        if self.render_mode == "human":
            print(frame, end="\n\n")
            return None
        return frame


def render_view(module: str, render_mode: str, view: Any) -> Any:
    """Draw with ``draw_text`` or ``draw_image`` of a module, which is imported only now."""
    name = "draw_text" if render_mode in TEXT_MODES else "draw_image"
    return load_object(f"{module}:{name}")(view)
