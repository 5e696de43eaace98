"""The shapes that are read."""

from __future__ import annotations

from contract.files import (
    agieval,
    arc,
    arlsat,
    bbh,
    flat,
    gaokao,
    logiqa,
    logiqa_text,
    ours,
)
from contract.files.shapes import Shape

OURS = ours.SHAPE
FLAT = flat.SHAPE
# Benchmarks: each has fields that only its files have. OURS and FLAT are generic.
BENCHMARKS = (agieval.SHAPE, arc.SHAPE, arlsat.SHAPE, logiqa.SHAPE)
# Their options stand in the question's text, so records with options of their own are not of these.
EMBEDDED = (bbh.SHAPE, gaokao.SHAPE)
# The shape of plain texts, which no other container holds.
LINES = logiqa_text.SHAPE
SHAPES: dict[str, Shape] = {
    shape.name: shape for shape in (OURS, FLAT, *BENCHMARKS, *EMBEDDED, LINES)
}
