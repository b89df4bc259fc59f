"""Sizes at which memories are compared: the largest that fits, found without building it."""

import time
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="neural memories need torch")

from memgym.agents.nn import MODULES, make_memory  # noqa: E402
from memgym.agents.nn.hippo import legs  # noqa: E402
from memgym.agents.nn.size import solve_size  # noqa: E402

DO_NOT_GROW = {"mlp", "engram"}  # in bytes of state


def used(name: str, config: dict[str, Any], device: str = "meta") -> tuple[int, int]:
    """Parameters, and bytes of state."""
    with torch.device(device):
        memory = make_memory(name, 16, 16, **config)
    return sum(p.numel() for p in memory.parameters()), memory.state_nbytes()


@pytest.mark.parametrize("name", sorted(MODULES))
@pytest.mark.parametrize("limit", ["params", "state_nbytes"])
def test_what_is_found_fits_and_one_more_does_not(name: str, limit: str) -> None:
    most, which = 30_000, limit == "state_nbytes"
    config = (
        {"given": 0} if name == "tracker" else {}
    )  # no entity, as its length would be limited by the input's
    if which and name in DO_NOT_GROW:
        with pytest.raises(ValueError, match="does not grow with it"):
            solve_size(name, 16, 16, state_nbytes=most)
        return
    found = solve_size(name, 16, 16, **{limit: most}, **config)
    width = str(MODULES.resolve(name).spec.width)
    assert used(name, found)[which] <= most
    assert used(name, {**found, width: found[width] + 1})[which] > most


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_memory_without_numbers_has_the_sizes_of_one_with_them(name: str) -> None:
    assert used(name, {}) == used(name, {}, device="cpu")


@pytest.mark.parametrize(
    ("name", "size", "limits", "found"),
    [
        ("tracker", 64, {"params": 100_000}, {"item": 64}),  # an entity is no longer than the input
        ("tracker", 64, {"state_nbytes": 4096}, {"item": 64}),
        ("slots", 64, {"state_nbytes": 4096, "given": 1}, {"given": 1, "item": 64}),
        ("s5", 16, {"params": 20_000, "blocks": 4}, {"blocks": 4, "state": 290}),  # a block is not empty
        ("s5", 16, {"params": 1000, "blocks": 5}, {"blocks": 5, "state": 6}),
        ("s5", 8, {"params": 1_000_000}, {"state": 4096}),
        ("sparsey", 16, {"params": 10_000, "width": "units"}, {"units": 24}),
    ],
)
def test_widths_that_the_memory_refuses_do_not_fit(
    name: str, size: int, limits: dict[str, Any], found: dict[str, Any]
) -> None:
    assert solve_size(name, size, size, **limits) == found


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({}, "params or state_nbytes"),
        ({"params": 10}, "does not fit the limits at hidden = 1"),
        ({"params": 1 << 60}, "fits the limits at any hidden"),
        ({"params": 1000, "layers": 2}, "layers"),
    ],
)
def test_what_cannot_be_solved_says_why(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        solve_size("lstm", 16, 16, **limits)


def test_what_is_wrong_at_every_width_is_said_as_of_the_first() -> None:
    with pytest.raises(ValueError, match=r"^heads is an integer from 1"):
        solve_size("gdn", 16, 16, params=10_000, heads=0)
    with pytest.raises(ValueError, match="does not fit the limits at state = 7"):
        solve_size("s5", 16, 16, params=100, blocks=7)


def test_a_search_costs_no_more_for_wide_memories_and_draws_nothing() -> None:
    before, start = torch.get_rng_state(), time.process_time()
    assert solve_size("s5", 8, 8, params=1_000_000)["state"] == 4096
    assert solve_size("s4", 8, 8, state_nbytes=1 << 20)["state"] == 1 << 14
    assert time.process_time() - start < 5.0  # to diagonalise 8192 numbers takes minutes
    assert torch.equal(torch.get_rng_state(), before)
    assert legs(4).basis.device.type == "cpu", "what was found without numbers is not kept for others"
