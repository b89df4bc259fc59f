"""Multiplicative LSTM: what the input picks of the memory decides what is written."""

import pytest

torch = pytest.importorskip("torch", reason="neural memories need torch")

from torch import Tensor  # noqa: E402

from memgym.agents.nn.multiplicative import MultiplicativeLSTM  # noqa: E402

PLACES, LARGE = 4, 40.0


@torch.no_grad()
def mover(picks: bool = True) -> MultiplicativeLSTM:
    """Moves a token: inputs name a place to take from and one to put to, one-hot; each place has a unit."""
    memory = MultiplicativeLSTM(2 * PLACES, PLACES, hidden=PLACES)
    for weights in memory.parameters():
        weights.zero_()
    ones, here = torch.ones(PLACES, PLACES), torch.eye(PLACES)
    chosen, input_gate, forget_gate, *_ = memory.fed.weight.split(PLACES)
    chosen_bias, input_bias, forget_bias, _, output_bias = memory.fed.bias.split(PLACES)
    if picks:
        chosen[:, :PLACES] = here
    else:
        chosen_bias += 1.0
    memory.recurrent.weight.copy_(here)
    input_gate[:, PLACES:], input_bias[:] = LARGE * here, -LARGE / 2
    forget_gate[:, :PLACES], forget_bias[:] = -LARGE * here, LARGE / 2
    output_bias[:] = LARGE
    memory.gates.weight.split(PLACES)[2].copy_(LARGE * ones)
    memory.out.weight.copy_(here)
    return memory


def moves(*pairs: tuple[int, int]) -> Tensor:
    x = torch.zeros(len(pairs), 1, 2 * PLACES)
    for row, (taken, put) in zip(x, pairs, strict=True):
        row[0, taken] = row[0, PLACES + put] = 1.0
    return x


@pytest.mark.parametrize(("picks", "moved"), [(True, True), (False, False)])
def test_one_step_moves_what_the_input_names(picks: bool, moved: bool) -> None:
    """Where the gates see all of the memory, whatever the input, moving nothing puts the token there as well."""
    memory = mover(picks)
    token = {"h": torch.tensor([[0.76, 0.0, 0.0, 0.0]]), "c": torch.tensor([[1.0, 0.0, 0.0, 0.0]])}
    with torch.no_grad():
        y, _ = memory(moves((0, 2), (1, 3), (2, 1), (0, 2), (1, 0)), token)
    held = [[place for place in range(PLACES) if row[0, place] > 0.5] for row in y]
    assert (held == [[2], [2], [1], [1], [0]]) is moved


def test_at_first_the_input_adds_to_all_of_the_memory() -> None:
    memory = MultiplicativeLSTM(3, 5, hidden=8)
    assert torch.equal(memory.fed.bias[:8], torch.ones(8))
    assert torch.equal(memory.fed.bias[16:24], torch.full((8,), 2.0))
    u = memory.recurrent.weight
    assert torch.allclose(u @ u.T, torch.eye(8), atol=1e-5)


def test_no_units_are_refused() -> None:
    with pytest.raises(ValueError, match="hidden"):
        MultiplicativeLSTM(3, 5, hidden=0)
