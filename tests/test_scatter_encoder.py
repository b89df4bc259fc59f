"""A map of entities: what each is, at a place that its numbers say."""

from typing import Any

import gymnasium as gym
import pytest

torch = pytest.importorskip("torch", reason="neural agents need torch")

from torch import Tensor  # noqa: E402

from memgym.agents.ppo import MemoryPPO  # noqa: E402
from memgym.agents.ppo.encoder import ScatterEncoder  # noqa: E402
from memgym.agents.ppo.settings import PolicySize  # noqa: E402

PLACES = 64


def made(
    size: int = 5 * PLACES + 8, scatter: tuple[int, int, int, int] = (8, 3, PLACES, 2)
) -> ScatterEncoder:
    torch.manual_seed(0)
    return ScatterEncoder(26, size, scatter)


def observation(*rows: tuple[float, ...]) -> Tensor:
    listed = torch.zeros(3, 6)
    for row, numbers in zip(listed, rows, strict=False):
        row[: len(numbers)] = torch.tensor(numbers)
    return torch.cat([torch.linspace(0, 1, 8), listed.flatten()])


RED, BLUE = (0.25, 0.5, 1.0, 1.0), (1.0, 0.0, 1.0, 0.0, 1.0)


@torch.no_grad()
def test_the_order_of_the_list_and_rows_of_zeros_say_nothing_in_the_map() -> None:
    one, other, none = made()(
        torch.stack([observation(RED, BLUE), observation(BLUE, (), RED), observation()])
    )
    assert torch.allclose(one[8:], other[8:], atol=1e-6)
    assert not none[8 + PLACES :].any()


@torch.no_grad()
def test_the_agent_has_the_place_of_an_entity_where_it_stands() -> None:
    here = observation(RED)
    here[:2] = torch.tensor(RED[:2])
    _, agent, red = made()(here)[: 8 + 2 * PLACES].split((8, PLACES, PLACES))
    assert torch.allclose(agent, red)


@torch.no_grad()
def test_what_an_entity_is_stands_where_it_is() -> None:
    _, shown, red, blue, other = made()(observation(RED, BLUE))[8:].unflatten(-1, (5, PLACES))
    assert torch.allclose(red.sum(), torch.tensor(1.0))
    assert torch.allclose(shown, red + blue)
    assert red.argmax() != blue.argmax()
    assert not other.any()


@pytest.mark.parametrize(("places", "differ"), [(PLACES, True), (9, False)])
@torch.no_grad()
def test_untrained_it_tells_the_cells_of_a_grid_apart(places: int, differ: bool) -> None:
    encode = made(5 * places + 8, (8, 3, places, 2))
    cells = [(x / 4, y / 4, 1.0) for y in range(5) for x in range(5)]
    maps = torch.stack([encode(observation(cell))[8 + places : 8 + 2 * places] for cell in cells])
    maps /= maps.norm(dim=-1, keepdim=True)
    alike = (maps @ maps.T).fill_diagonal_(0.0).max()
    assert bool(alike < 0.7) is differ


@pytest.mark.parametrize(
    ("size", "scatter"),
    [
        (4 * PLACES, (8, 3, PLACES, 2)),
        (400, (8, 5, PLACES, 2)),
        (400, (25, 3, PLACES, 2)),
        (400, (8, 3, PLACES, 6)),
    ],
)
def test_lists_that_do_not_fit_are_refused(size: int, scatter: Any) -> None:
    with pytest.raises(ValueError, match="policy_kwargs"):
        made(size, scatter)


@pytest.mark.parametrize(
    "scatter", [(1, 2, 3), (0, 0, 4, 1), "all", (0, 1, 2.5, 1), (0, 1, 2, 0), (0, 1, 2, 1, 1)]
)
def test_scatter_is_four_integers(scatter: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="scatter"):
        PolicySize(scatter=scatter)


def test_a_stream_has_codes_or_a_map() -> None:
    with pytest.raises(ValueError, match="not both"):
        PolicySize(entities=(8, 3, 16), scatter=(8, 3, 48, 2))


def test_an_agent_is_kept_with_its_map(tmp_path: Any) -> None:
    envs = gym.make_vec("memgym/ColorCubes-v0", num_envs=4, mode="extreme")
    sizes = {"size": 48, "scatter": [8, 3, 8, 2]}
    model = MemoryPPO(
        "multiplicative-lstm", envs, policy_kwargs=sizes, n_steps=8, module_kwargs={"hidden": 8}
    )
    model.learn(32)
    model.save(tmp_path / "agent")
    again = MemoryPPO.load(tmp_path / "agent", envs)
    rows = torch.rand(5, 26)
    assert torch.equal(again.policy.encoder(rows), model.policy.encoder(rows))
