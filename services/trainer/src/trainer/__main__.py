"""`python -m trainer`: run a recipe, or ask its base what it answers untrained."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

RecipeOption = Annotated[Path, typer.Option(help="the recipe, a TOML file")]
TrainOption = Annotated[
    list[Path] | None,
    typer.Option("--train", help="train on this file instead of the recipe's; may be repeated"),
]


@app.command()
def run(recipe: RecipeOption, train: TrainOption = None) -> None:
    """Train, merge, verify and publish; nothing to do where that is published already."""
    from trainer.pipeline import run as run_recipe
    from trainer.recipe import Recipe
    from trainer.settings import Settings

    loaded = Recipe.load(recipe)
    if train:
        loaded = loaded.model_copy(update={"train": tuple(str(path.resolve()) for path in train)})
    run_recipe(loaded, Settings())


@app.command()
def baseline(
    recipe: RecipeOption,
    file: Annotated[Path, typer.Option(help="a problem file")],
    out: Annotated[
        Path, typer.Option(help="where to write one JSON line a question: id, index, answer")
    ],
) -> None:
    """What the recipe's base answers before training, with its letter forced."""
    from transformers import AutoTokenizer

    from trainer.baseline import forced_answers, write_answers
    from trainer.lora import compute_dtype, load_base
    from trainer.pipeline import find_base
    from trainer.recipe import Recipe

    loaded = Recipe.load(recipe)
    base = find_base(loaded.base)
    model = load_base(base, compute_dtype(loaded.training.dtype))
    answers = forced_answers(model, AutoTokenizer.from_pretrained(base), loaded.format, file)
    write_answers(answers, out)
    logging.getLogger("trainer").info("%d questions, answers in %s", len(answers), out)


def main() -> None:
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(name)s %(levelname)s %(message)s",
        stream=sys.stdout,
    )
    from trainer.errors import TrainerError

    try:
        app()
    except TrainerError as error:
        logging.getLogger("trainer").error("%s", error)
        sys.exit(1)


if __name__ == "__main__":
    main()
