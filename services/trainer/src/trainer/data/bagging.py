"""The share of the training rows that one member of a panel trains on (bagging, Breiman 1996)."""

from __future__ import annotations

import random
from dataclasses import replace

from trainer.data.preparing import Prepared, asked, keys
from trainer.digests import digest_of


def drawn(prepared: Prepared, share: float, seed: int) -> Prepared:
    """`prepared` with `share` of its training questions, drawn by `seed` without replacement.

    A question is drawn with all of its rows, the copies with permuted options included: otherwise
    nearly every member would see nearly every question. The held-out rows stay. With a share of 1
    nothing changes, the digest included.
    """
    if share == 1:
        return prepared
    questions = list(dict.fromkeys(asked(example) for example in prepared.train))
    count = max(1, round(share * len(questions)))
    chosen = set(random.Random(seed).sample(questions, count))
    kept = [(i, e) for i, e in enumerate(prepared.train) if asked(e) in chosen]
    train = [example for _, example in kept]
    originals = prepared.report.trained - prepared.report.copies
    report = replace(
        prepared.report,
        trained=len(train),
        copies=sum(i >= originals for i, _ in kept),
        keys_trained=keys(train),
    )
    sha256 = digest_of(prepared.sha256, f"share {share!r} drawn by {seed}")
    return replace(prepared, train=train, report=report, sha256=sha256)
