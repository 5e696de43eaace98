"""Splits training from validation by problem: equal and nearly equal texts stay on one side."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components

SHINGLE = 5  # characters
_BLOCK = 512  # texts compared with all others at once


def near_duplicates(
    texts: Sequence[str], threshold: float, others: Sequence[str] | None = None
) -> list[tuple[int, int]]:
    """All pairs (i, j) for which text i of `texts` and text j of `others` have a Jaccard similarity
    of at least `threshold` over shingles of five characters (Broder 1997). Without `others`, pairs
    within `texts`, i < j. Exact: every pair is compared.
    """
    left, right = _shingles(texts, others or ())
    one_list = others is None
    if one_list:
        right = left
    sizes_left, sizes_right = left.sum(axis=1).A1, right.sum(axis=1).A1
    pairs: list[tuple[int, int]] = []
    for start in range(0, left.shape[0], _BLOCK):
        shared = coo_matrix(left[start : start + _BLOCK] @ right.T)
        rows, columns = shared.row + start, shared.col
        either = sizes_left[rows] + sizes_right[columns] - shared.data
        close = (shared.data >= threshold * either) & ((rows < columns) | (not one_list))
        pairs += zip(rows[close].tolist(), columns[close].tolist(), strict=True)
    return sorted(pairs)


def groups(texts: Sequence[str], threshold: float) -> list[int]:
    """A group number for each text; near-duplicates, and their near-duplicates, share one."""
    pairs = near_duplicates(texts, threshold)
    ones = np.ones(len(pairs))
    graph = csr_matrix(
        (ones, ([i for i, _ in pairs], [j for _, j in pairs])), shape=(len(texts), len(texts))
    )
    numbers: list[int] = connected_components(graph, directed=False)[1].tolist()
    return numbers


def held_out(group_of: Sequence[int], share: float, seed: int) -> set[int]:
    """Places of the texts to hold out: whole groups, taken in a random order, up to `share` of all
    texts. If there are two groups, at least one text is held out.
    """
    members: dict[int, list[int]] = {}
    for place, group in enumerate(group_of):
        members.setdefault(group, []).append(place)
    if share == 0 or len(members) < 2:
        return set()
    order = sorted(members)
    random.Random(seed).shuffle(order)
    chosen: set[int] = set()
    for group in order:
        if len(chosen) + len(members[group]) <= share * len(group_of):
            chosen.update(members[group])
    smallest = min(order, key=lambda group: len(members[group]))
    return chosen or set(members[smallest])


def normalized(text: str) -> str:
    """`text` without differences that do not count: width of characters, case, white space."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def _shingles(texts: Sequence[str], others: Sequence[str]) -> tuple[csr_matrix, csr_matrix]:
    """Two 0/1 matrices over the same columns: a row for each text, a column for each shingle."""
    column_of: dict[str, int] = {}
    matrices = []
    for some in (texts, others):
        rows, columns = [], []
        for row, text in enumerate(some):
            bare = normalized(text)
            parts = {bare[i : i + SHINGLE] for i in range(max(1, len(bare) - SHINGLE + 1))}
            rows += [row] * len(parts)
            columns += [column_of.setdefault(part, len(column_of)) for part in sorted(parts)]
        matrices.append((rows, columns, len(some)))
    width = len(column_of)
    left, right = (
        csr_matrix((np.ones(len(rows), dtype=np.int32), (rows, columns)), shape=(height, width))
        for rows, columns, height in matrices
    )
    return left, right
