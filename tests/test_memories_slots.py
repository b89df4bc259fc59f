"""What slot memory says of itself: what is already held goes there again, what is new where something vanished."""

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="neural memories need torch")

from torch import Tensor, nn  # noqa: E402

from memgym.agents.nn import make_memory  # noqa: E402
from memgym.agents.nn.slots import SlotMemory  # noqa: E402
from memgym.agents.ppo.encoder import EntityEncoder  # noqa: E402
from memgym.agents.ppo.settings import PolicySize  # noqa: E402

ITEM = 8


def matcher(rounds: int = 20) -> SlotMemory:
    """A memory with every gate open; candidates that are its input are matched by likeness, a fourth keeps apart."""
    torch.manual_seed(0)
    memory = SlotMemory(3 * ITEM, 4, slots=4, item=ITEM, given=3, rounds=rounds)
    with torch.no_grad():
        for layer in (memory.address, memory.offer):
            layer.weight.zero_()
            layer.bias.zero_()
        memory.address.bias[-1] = 30.0
        memory.gate_out.bias.fill_(50.0)
    return memory


def codes(number: int) -> Tensor:
    """Orthogonal vectors."""
    return torch.eye(ITEM)[:number] * ITEM**0.5


@torch.no_grad()
def after(memory: SlotMemory, held: Tensor, shown: Tensor) -> Tensor:
    """What the first three slots hold after `shown`, if they held `held` before."""
    state = torch.cat([held, torch.zeros(1, ITEM)])
    return memory.step(shown.flatten()[None], {"s": state[None]})[1]["s"][0, :3]


def test_what_is_new_goes_where_something_has_vanished() -> None:
    a, b, c, new = codes(4)
    held = after(matcher(), torch.stack([a, b, c]), torch.stack([c, new, a]))  # b has gone
    torch.testing.assert_close(held, torch.stack([a, new, c]), atol=0.15, rtol=0)


def test_without_matching_each_slot_chooses_for_itself_and_the_odd_one_gets_a_mixture() -> None:
    a, b, c, new = codes(4)
    held = after(matcher(rounds=0), torch.stack([a, b, c]), torch.stack([c, new, a]))
    torch.testing.assert_close(held[[0, 2]], torch.stack([a, c]), atol=0.05, rtol=0)
    assert (held[1] - new).norm() > 1.0


def test_a_shut_gate_keeps_what_is_held_bit_for_bit() -> None:
    memory = matcher()
    with torch.no_grad():
        memory.gate_out.weight.zero_()
        memory.gate_out.bias.fill_(-200.0)
    a, b, c, new = codes(4)
    held = torch.stack([a, b, c])
    assert torch.equal(after(memory, held, torch.stack([c, new, a])), held)


def test_an_address_says_where_a_candidate_goes_whatever_is_held() -> None:
    memory = matcher()
    with torch.no_grad():  # candidate j belongs into slot j + 1, the last into the first
        memory.address.bias[:12] = 30.0 * torch.eye(3, 4)[[2, 0, 1]].flatten()
    a, b, c, new = codes(4)
    held = after(memory, torch.stack([a, b, c]), torch.stack([c, new, a]))
    torch.testing.assert_close(held, torch.stack([a, c, new]), atol=0.05, rtol=0)


@pytest.mark.parametrize("learned", [20.0, 90.0, 1e4, -1e4])
@pytest.mark.parametrize("name", ["slots", "tracker"])
def test_no_likeness_that_may_be_learned_divides_by_zero(name: str, learned: float) -> None:
    torch.manual_seed(0)
    memory: Any = make_memory(name, 3 * ITEM, 4, slots=4, item=ITEM, given=3)
    nn.init.constant_(memory.likeness, learned)
    x = torch.randn(30, 16, 3 * ITEM).requires_grad_()
    y, _ = memory(x, memory.initial_state(16))
    y.sum().backward()
    assert all(leaf.isfinite().all() for leaf in (y, x.grad, *(p.grad for p in memory.parameters())))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"slots": 0}, "slots"),
        ({"given": 3}, "given"),
        ({"item": 0}, "item"),
        ({"rounds": -1}, "rounds"),
    ],
)
def test_arguments_outside_their_range_are_named(config: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SlotMemory(12, 4, **{"slots": 3, "item": 4, **config})


# ---------------------------------------------------------------------------- the encoder that makes candidates


def test_entities_have_one_code_wherever_they_stand_in_the_list() -> None:
    torch.manual_seed(0)
    encoder = EntityEncoder(2 + 3 * 4, 40, (2, 3, ITEM))
    rows = torch.rand(5, 14)
    shuffled = torch.cat([rows[:, :2], rows[:, 2:].unflatten(-1, (3, 4))[:, [2, 0, 1]].flatten(1)], 1)
    first, second = (encoder(x)[:, -3 * ITEM :].unflatten(-1, (3, ITEM)) for x in (rows, shuffled))
    torch.testing.assert_close(second, first[:, [2, 0, 1]])
    torch.testing.assert_close(first.mean(-1), torch.zeros(5, 3), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("entities", "same"), [((2, 3, ITEM, 2), True), ((2, 3, ITEM), False)])
def test_a_code_of_the_first_numbers_does_not_change_with_the_others(entities: Any, same: bool) -> None:
    torch.manual_seed(0)
    encoder = EntityEncoder(2 + 3 * 4, 40, entities)
    plain = torch.rand(5, 14)
    coloured = plain.clone()
    coloured[:, 2:].unflatten(-1, (3, 4))[..., 2:] += 1.0
    first, second = encoder(plain), encoder(coloured)
    assert torch.equal(first[:, -3 * ITEM :], second[:, -3 * ITEM :]) == same
    assert not torch.equal(first, second)  # the rest of the stream sees all of it
    plain[:, 2:6] = 0.0
    assert encoder(plain)[:, -3 * ITEM : -2 * ITEM].any() != same, "a row of zeros is no entity"


def test_neighbouring_places_have_codes_that_a_linear_layer_tells_apart() -> None:
    """Negative control: of the bare numbers, no linear layer tells five places in a row apart."""
    places = torch.linspace(0, 1, 5)[:, None]
    encoder = EntityEncoder(1, 17, (0, 1, 16))
    ranks = [torch.linalg.matrix_rank(x - x.mean(0)) for x in (encoder(places)[:, -16:], places)]
    assert ranks[0] == 4
    assert ranks[1] == 1


@pytest.mark.parametrize(
    ("size", "entities"), [(24, (2, 3, 8)), (64, (2, 5, 8)), (64, (13, 3, 8)), (64, (2, 3, 8, 5))]
)
def test_lists_that_do_not_fit_are_refused(size: int, entities: Any) -> None:
    with pytest.raises(ValueError, match="policy_kwargs"):
        EntityEncoder(14, size, entities)


@pytest.mark.parametrize("entities", [(1, 2), (0, 0, 4), "all", (0, 1, 2.5), (0, 1, 2, 0), (0, 1, 2, 1, 1)])
def test_entities_are_three_or_four_integers(entities: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="entities"):
        PolicySize(entities=entities)


def test_the_policy_reads_them() -> None:
    from memgym.agents import MemoryPPO

    sizes = {"size": 64, "entities": [8, 3, ITEM]}
    model = MemoryPPO(
        "slots",
        "memgym/ColorCubes-v0",
        module_kwargs={"given": 3, "item": ITEM},
        policy_kwargs=sizes,
        n_envs=4,
        n_steps=8,
        seed=0,
    )
    model.learn(64)
    assert isinstance(model.policy.encoder, EntityEncoder)
    assert model.card.extra["policy_kwargs"]["entities"] == (8, 3, ITEM)
    assert all(isinstance(m, nn.Module) and m.given == 3 for m in model.policy.backbone.memories)
