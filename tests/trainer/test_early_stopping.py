"""Early stopping counts validations without a better loss, and remembers the best."""

from trainer.training.early_stopping import EarlyStopping


def test_training_ends_after_patience_runs_out() -> None:
    stopping = EarlyStopping(patience=2)
    losses = {0: 0.1, 1: 3.0, 2: 2.0, 3: 2.5, 4: 1.0, 5: 1.0}
    best = [step for step, loss in losses.items() if stopping.is_best(step, loss)]
    assert best == [1, 2, 4]
    assert not stopping.is_due
    assert not stopping.is_best(6, 1.5)
    assert stopping.is_due
    assert stopping.best_step == 4


def test_without_patience_training_never_ends_early() -> None:
    stopping = EarlyStopping(patience=None)
    assert not any(stopping.is_best(step, loss) for step, loss in ((1, 1.0), (2, 2.0), (3, 3.0)))
    assert not stopping.is_due
    assert stopping.best_step == 0
