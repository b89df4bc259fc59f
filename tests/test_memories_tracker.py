"""Tracking slots follow entities before anything is learned, in Color Cubes as by themselves."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="neural memories need torch")

from torch import Tensor, nn  # noqa: E402

from memgym.agents.nn.slots import SlotMemory  # noqa: E402
from memgym.agents.nn.tracker import TrackingSlots  # noqa: E402
from memgym.agents.ppo.encoder import EntityEncoder  # noqa: E402
from memgym.envs.color_cubes import ColorCubes  # noqa: E402

ITEM, CUBES = 16, 3


def make(cls: type[SlotMemory], **changed: Any) -> SlotMemory:
    torch.manual_seed(0)
    sizes = {"slots": CUBES + 1, "item": ITEM, "given": CUBES, "rounds": 20}
    return cls(CUBES * ITEM, 4, **{**sizes, **changed})


def codes() -> Tensor:
    """Vectors at right angles to each other and to (1, ..., 1), of length 4."""
    basis = torch.linalg.qr(torch.cat([torch.ones(ITEM, 1), torch.eye(ITEM)[:, 1:]], 1)).Q
    return basis.T[1:] * ITEM**0.5


@torch.no_grad()
def after(memory: SlotMemory, *shown: Tensor) -> Tensor:
    """What the slots of entities hold after these lists of codes."""
    state = memory.initial_state(1)
    for entities in shown:
        _, state = memory.step(entities.flatten()[None], state)
    return state["s"][0, :CUBES]


def told(held: Tensor, places: Tensor) -> list[int]:
    """The place that each slot holds, most likely."""
    return (
        (nn.functional.normalize(held, dim=-1) @ nn.functional.normalize(places, dim=-1).mT)
        .argmax(-1)
        .tolist()
    )


def test_the_first_list_fills_the_slots_in_its_order() -> None:
    places = codes()
    assert told(after(make(TrackingSlots), places[[2, 0, 1]]), places) == [2, 0, 1]


def test_what_has_moved_goes_where_its_slot_lost_its_item() -> None:
    places = codes()
    assert told(after(make(TrackingSlots), places[[0, 1, 2]], places[[2, 5, 0]]), places) == [0, 5, 2]


@pytest.mark.parametrize(("jump", "follows"), [(5e-4, True), (0.0, False)])
def test_one_exact_match_outweighs_two_near_ones(jump: float, follows: bool) -> None:
    """`gone` jumps to `new`, which is near `stays`; in sum, either slot could as well take the other's candidate."""
    likeness = torch.tensor([[1.0, 0.93, 0.81], [0.93, 1.0, 0.65], [0.81, 0.65, 1.0]])
    basis = codes()
    stays, new, gone = torch.linalg.cholesky(likeness) @ basis[:3]
    places = torch.stack([stays, new, gone, basis[5]])
    held = after(make(TrackingSlots, jump=jump), places[[0, 2, 3]], places[[1, 0, 3]])
    assert (told(held, places) == [0, 1, 3]) == follows


@pytest.mark.parametrize(("cls", "keeps"), [(TrackingSlots, True), (SlotMemory, False)])
def test_frames_without_entities_leave_what_is_followed_as_it_is(cls: type[SlotMemory], keeps: bool) -> None:
    """`SlotMemory` has to learn it."""
    places = codes()
    once = after(make(cls), places[:CUBES])
    later = after(make(cls), places[:CUBES], *[torch.zeros(CUBES, ITEM)] * 20)
    assert ((later - once).norm() < 0.1 * once.norm()) == keeps


@pytest.mark.parametrize(
    ("cls", "grid_size", "cubes", "item", "least", "most"),
    [
        (TrackingSlots, 5, 3, 16, 0.95, 1.0),
        (SlotMemory, 5, 3, 16, 0.0, 0.5),
        (TrackingSlots, 7, 5, 32, 0.95, 1.0),
        (TrackingSlots, 7, 5, 16, 0.0, 0.9),  # places are nearer to each other, and codes too short to differ
    ],
)
def test_untrained_it_knows_where_every_cube_is_though_no_colour_is_shown_again(
    cls: type[SlotMemory], grid_size: int, cubes: int, item: int, least: float, most: float
) -> None:
    """Color Cubes in extreme, whole episodes of the oracle; where slots are not for tracking, places get lost."""
    torch.manual_seed(0)
    env = ColorCubes("extreme", grid_size=grid_size, num_cubes=cubes)
    numbers = len(env.reset(seed=0)[0])
    at, size = numbers - cubes * (3 + cubes), max(128, cubes * item + 64)
    encoder = EntityEncoder(numbers, size, (at, cubes, item, 3))
    norm = nn.LayerNorm(size)
    memory = cls(size, 128, slots=cubes + 1, item=item, given=cubes, hidden=128)
    last = grid_size - 1
    grid = np.zeros((grid_size**2, numbers), np.float32)
    grid[:, at : at + 3] = [(x / last, y / last, 1) for y in range(grid_size) for x in range(grid_size)]
    right = total = 0
    with torch.no_grad():
        places = encoder(torch.tensor(grid))[:, -cubes * item :][:, :item]
        for episode in range(20):
            observation, _ = env.reset(seed=episode)
            state, done = memory.initial_state(1), False
            while not done:
                _, state = memory.step(norm(encoder(torch.tensor(observation)[None])), state)
                cells = [grid_size * row + column for column, row in env.oracle_state()["cubes"]]
                right += sum(map(int.__eq__, told(state["s"][0, :cubes], places), cells))
                total += cubes
                observation, _, terminated, truncated, _ = env.step(env.oracle_action())
                done = terminated or truncated
    assert least <= right / total <= most


@pytest.mark.parametrize(
    ("config", "words"), [({"given": 4}, "given"), ({"jump": -0.1}, "jump"), ({"jump": 1.5}, "jump")]
)
def test_arguments_outside_their_range_are_named(config: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make(TrackingSlots, **config)
