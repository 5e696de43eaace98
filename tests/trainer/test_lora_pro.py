"""LoRA-Pro's closed form against a numerical least-squares solution."""

import pytest
import torch

from trainer.training.lora_pro import LoraPro, adjust

OUT, IN, R, SCALE = 12, 9, 3, 2.0


def factors(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return tuple(  # type: ignore[return-value]
        torch.randn(shape, generator=rng, dtype=torch.float64)
        for shape in ((R, IN), (OUT, R), (OUT, IN))
    )


def plain_gradients(
    a: torch.Tensor, b: torch.Tensor, full: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradients of the factors of SCALE * b @ a, if `full` is the gradient of that product."""
    return SCALE * b.T @ full, SCALE * full @ a.T


def equivalent(
    a: torch.Tensor, b: torch.Tensor, grad_a: torch.Tensor, grad_b: torch.Tensor
) -> torch.Tensor:
    """The change of the weights, to first order, by a step along both gradients."""
    return SCALE * (b @ grad_a + grad_b @ a)


@pytest.mark.parametrize("seed", range(5))
def test_the_update_is_the_least_squares_fit_of_the_gradient(seed: int) -> None:
    a, b, full = factors(seed)
    adjusted = adjust(a, b, *plain_gradients(a, b, full), SCALE)
    # all updates that the factors can make, as the columns of one matrix
    eye = torch.eye
    columns = torch.cat(
        [
            SCALE * torch.kron(b, eye(IN, dtype=torch.float64)),
            SCALE * torch.kron(eye(OUT, dtype=torch.float64), a.T.contiguous()),
        ],
        dim=1,
    )
    nearest = columns @ torch.linalg.lstsq(columns, full.reshape(-1, 1), driver="gelsd").solution
    torch.testing.assert_close(equivalent(a, b, *adjusted), nearest.reshape(OUT, IN))


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_solution_closest_to_the_plain_gradients(seed: int) -> None:
    a, b, full = factors(seed)
    plain = plain_gradients(a, b, full)
    adjusted = adjust(a, b, *plain, SCALE)
    x = torch.zeros(R, R, dtype=torch.float64, requires_grad=True)  # moves along the solutions
    distance = ((adjusted[0] + x @ a - plain[0]) ** 2).sum() + (
        (adjusted[1] - b @ x - plain[1]) ** 2
    ).sum()
    distance.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(x.grad, torch.zeros_like(x), atol=1e-8, rtol=0)


def test_it_is_closer_to_the_full_gradient_than_plain_lora() -> None:
    a, b, full = factors()
    plain = plain_gradients(a, b, full)
    adjusted = adjust(a, b, *plain, SCALE)
    assert (equivalent(a, b, *adjusted) - full).norm() < (equivalent(a, b, *plain) - full).norm()


def test_at_the_start_with_b_zero_only_b_moves() -> None:
    a, b, full = factors()
    b = torch.zeros_like(b)
    grad_a, grad_b = adjust(a, b, *plain_gradients(a, b, full), SCALE)
    assert grad_a.abs().max() == 0
    image = full @ a.T @ torch.linalg.inv(a @ a.T) @ a  # `full`, projected onto the row space of a
    torch.testing.assert_close(equivalent(a, b, grad_a, grad_b), image)


def test_the_optimizer_steps_along_the_adjusted_gradients() -> None:
    a, b, full = factors()
    one, two = a.clone().requires_grad_(), b.clone().requires_grad_()
    one.grad, two.grad = plain_gradients(a, b, full)
    LoraPro([{"params": [one, two], "lr": 0.1}], [(one, two)], SCALE).step()
    grad_a, grad_b = adjust(a, b, *plain_gradients(a, b, full), SCALE)
    # the first step of Adam is the sign of the gradient
    torch.testing.assert_close(one.detach(), a - 0.1 * grad_a.sign(), atol=1e-5, rtol=0)
    torch.testing.assert_close(two.detach(), b - 0.1 * grad_b.sign(), atol=1e-5, rtol=0)
