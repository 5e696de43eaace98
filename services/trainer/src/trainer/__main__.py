"""`python -m trainer`: prepare data, distil analyses, run a recipe, manage published models."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contract.settings import WRONG_SETTINGS, read_settings
from trainer.data.chat_forms import ChatForm

if TYPE_CHECKING:
    from trainer.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
log = logging.getLogger("trainer")

RecipeOption = Annotated[Path, typer.Option(help="the recipe (TOML)")]
TrainOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--train", help="train on this file instead of the recipe's files; may be repeated"
    ),
]
BaseOption = Annotated[
    str | None, typer.Option(help="a folder or hub id to use instead of the recipe's base")
]
WriteOption = Annotated[
    list[ChatForm] | None,
    typer.Option(
        "--write", help="write the rows in this form too, for training elsewhere; may be repeated"
    ),
]


@app.command()
def run(recipe: RecipeOption, train: TrainOption = None, base: BaseOption = None) -> None:
    """Train, merge, verify and publish. A stopped run is resumed. If the model is already
    published, nothing is done. With PANEL=3, a panel of three members is trained.
    """
    from trainer.settings import Settings

    settings = read_settings(Settings)
    with _at_work(settings):
        from trainer.panel import run_panel
        from trainer.pipeline import run as run_recipe
        from trainer.recipe import load_recipe

        loaded = load_recipe(recipe, train, base)
        if settings.panel:
            run_panel(loaded, settings, settings.panel)
            return
        if loaded.panel:
            log.info("one model is trained; `trainer panel` trains the recipe's panel")
        run_recipe(loaded, settings)


@app.command()
def panel(
    recipe: RecipeOption,
    members: Annotated[
        int | None,
        typer.Option(help="how many adapters vote; by default the recipe's [panel], else 3"),
    ] = None,
    train: TrainOption = None,
    base: BaseOption = None,
) -> None:
    """Train several adapters from one base, which vote together, and publish them as one model. A
    stopped panel is resumed: members that are complete are not trained again.
    """
    from trainer.settings import Settings

    settings = read_settings(Settings)
    with _at_work(settings):
        from trainer.panel import run_panel
        from trainer.recipe import load_recipe

        run_panel(load_recipe(recipe, train, base), settings, members)


@contextmanager
def _at_work(settings: Settings) -> Iterator[None]:
    """Hold the trainer's lock. It is taken before the heavy imports: they take seconds, and a
    server could take the GPU meanwhile.
    """
    if settings.local_rank:  # torchrun's other processes
        log.setLevel(logging.ERROR)
        yield
        return
    from contract.tenancy import trainer_at_work

    with trainer_at_work(settings.models_dir):
        yield


@app.command()
def prepare(
    recipe: RecipeOption,
    out: Annotated[
        Path, typer.Option(help="the folder to write the report, its picture and the rows to")
    ],
    write: WriteOption = None,
    train: TrainOption = None,
    base: BaseOption = None,
) -> None:
    """Read, split and permute the data as a run would, and report on it, without training."""
    from rich.console import Console

    from trainer.bases import find_base
    from trainer.data.chat_templates import load_tokenizer
    from trainer.data.preparing import prepare as prepare_data
    from trainer.data.preparing import write_examples
    from trainer.data.report import print_report, save_report
    from trainer.data.writing import write_forms
    from trainer.pipeline import render_all
    from trainer.recipe import load_recipe
    from trainer.settings import Settings

    asked = load_recipe(recipe, train, base)
    prepared = prepare_data(asked)
    loaded = prepared.recipe
    folder = find_base(loaded.base, read_settings(Settings).model_source)
    first = prepared.train[0]
    tokenizer = load_tokenizer(folder, loaded.format.messages(first.problem, first.question))
    rows, held_out, _ = render_all(prepared, tokenizer)
    save_report(prepared.report, out)
    write_examples(rows.examples, out / "train.jsonl")
    write_examples(held_out.examples, out / "validation.jsonl")
    sides = {"train": rows.examples, "validation": held_out.examples}
    write_forms(sides, write or [], asked, loaded, out)
    print_report(prepared.report, Console())
    log.info("rows, data.json and data.png are in %s", out)


@app.command()
def distill(
    recipe: RecipeOption,
    file: Annotated[
        list[Path], typer.Option(help="a labelled file with the questions to ask; may be repeated")
    ],
    out: Annotated[Path, typer.Option(help="the file to write the analyses to (JSONL)")],
    url: Annotated[str, typer.Option(help="the teacher's OpenAI API, http://host:port/v1")],
    model: Annotated[str, typer.Option(help="the teacher's model name at that API")],
    samples: Annotated[int, typer.Option(min=1, help="analyses to draw for each question")] = 8,
    keep: Annotated[int, typer.Option(min=1, help="right analyses to keep for each, at most")] = 4,
    hint: Annotated[
        bool, typer.Option(help="ask questions that got no right analysis again, with their key")
    ] = False,
    only_missed: Annotated[
        str | None,
        typer.Option(help="ask only what a finished job got wrong (folder, answers.jsonl or URL)"),
    ] = None,
    temperature: Annotated[float, typer.Option(min=0.0, max=2.0)] = 1.0,
    max_tokens: Annotated[int, typer.Option(min=1)] = 1024,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    concurrency: Annotated[int, typer.Option(min=1, help="requests at once")] = 32,
    timeout_s: Annotated[float, typer.Option(min=1.0)] = 600.0,
) -> None:
    """Have a teacher write analyses, and keep those that reach the key. If the teacher needs an API
    key, set TEACHER_API_KEY.
    """
    from rich.console import Console

    from trainer.distilling.journal import Teacher
    from trainer.distilling.questions import questions_to_ask
    from trainer.distilling.rounds import distill as distill_examples
    from trainer.distilling.yields import report
    from trainer.recipe import Recipe
    from trainer.settings import Settings

    settings = read_settings(Settings)
    examples, fmt = questions_to_ask(Recipe.load(recipe), file, only_missed, settings.api_key)
    if not examples:
        log.info("there is no question to ask")
        return
    key = settings.teacher_api_key
    teacher = Teacher(
        url, model, key, samples, temperature, max_tokens, seed, concurrency, timeout_s
    )
    console = Console()
    yields = distill_examples(examples, fmt, teacher, out, keep=keep, hint=hint, console=console)
    report(yields, out, console)


@app.command()
def baseline(
    recipe: RecipeOption,
    file: Annotated[Path, typer.Option(help="the problem file to answer")],
    out: Annotated[
        Path, typer.Option(help="the file to write one JSON line a question to: id, index, answer")
    ],
    base: BaseOption = None,
) -> None:
    """Answer a problem file with the untrained base, restricted to the labels."""
    from trainer.baseline import forced_answers, write_answers
    from trainer.recipe import load_recipe
    from trainer.settings import Settings

    loaded = load_recipe(recipe, None, base)
    count = write_answers(forced_answers(loaded, read_settings(Settings), file), out)
    log.info("%d questions answered; the answers are in %s", count, out)


@app.command("list")
def list_models() -> None:
    """List the published models, which of them are current, and the members of panels with the
    questions that each answered right in validation.
    """
    from rich.console import Console
    from rich.table import Table

    from contract.published import list_published
    from trainer.publishing.listed import COLUMNS, rows
    from trainer.settings import Settings

    table = Table(box=None)
    for name in COLUMNS:  # a digest is copied, so it stays whole in a narrow window
        table.add_column(name, overflow="fold", min_width=16 if name == "digest" else None)
    for model in list_published(read_settings(Settings).models_dir):
        for row in rows(model):
            table.add_row(*row)
    Console().print(table)


@app.command()
def publish(
    digest: Annotated[
        str | None, typer.Argument(help="the digest, or a unique beginning of it")
    ] = None,
    despite: Annotated[
        Path | None,
        typer.Option(help="publish the model that this verification.json of a run refused"),
    ] = None,
) -> None:
    """Make a published model the current one, or publish one that verification refused. The server
    switches to it by itself.
    """
    from contract.published import make_current
    from trainer.publishing.publish import find_published, publish_refused
    from trainer.settings import Settings

    if (digest is None) == (despite is None):
        raise typer.BadParameter("give either a digest or --despite with a report")
    if despite is not None:
        model = publish_refused(read_settings(Settings).models_dir, despite)
        log.warning("published %s, although its verification refused it", model)
        return
    found = find_published(read_settings(Settings).models_dir, str(digest))
    make_current(found.directory)
    log.info(
        "%s is now the current model; the server switches to it once no job asks for other "
        "weights (with ENGINE=transformers, at its next start)",
        found.directory,
    )


@app.command()
def prune(
    keep: Annotated[int, typer.Option(min=1, help="models to keep of each name")] = 3,
) -> None:
    """Remove all but the newest models of each name; the current one always stays."""
    from trainer.publishing.publish import prune as prune_models
    from trainer.settings import Settings

    removed = prune_models(read_settings(Settings).models_dir, keep)
    for model in removed:
        log.info("removed %s", model.directory)
    freed = sum(model.size_bytes for model in removed) / 2**30
    log.info("%d models removed, %.2f GiB freed", len(removed), freed)


@app.command()
def compare(
    one: Annotated[str, typer.Argument(help="a run's digest, or a unique beginning of it")],
    other: Annotated[str, typer.Argument(help="another run's digest")],
    out: Annotated[Path, typer.Option(help="the picture to draw both curves in")] = Path(
        "compare.png"
    ),
) -> None:
    """Compare the settings, results and curves of two runs."""
    from rich.console import Console
    from rich.table import Table

    from trainer.settings import Settings
    from trainer.training.comparing import differences, draw, endings, load_run

    runs_dir = read_settings(Settings).runs_dir
    first, second = load_run(runs_dir, one), load_run(runs_dir, other)
    console = Console()
    for title, rows in (
        ("settings that differ", differences(first, second)),
        ("at the end", endings(first, second)),
    ):
        table = Table(title, first.name, second.name, box=None)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    draw(first, second, out)
    log.info("the curves are in %s", out)


def main() -> None:
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(name)s %(levelname)s %(message)s",
        stream=sys.stdout,
    )
    from trainer.errors import StoppedError, TrainerError

    try:
        app()
    except StoppedError as stopped:
        log.warning("%s", stopped)
        end(143)
    except TrainerError as error:
        log.error("%s", error)
        end(1)
    except SystemExit as ended:  # typer ends this way, also after success
        end(ended.code)


def end(code: str | int | None) -> None:
    """End this process. One of several skips Python's own shutdown: threads left by gloo may abort
    it (PyTorch, pull request 179291), and torchrun would then end the other processes.
    """
    from trainer.settings import Settings

    if isinstance(code, int) and code != WRONG_SETTINGS and Settings().world_size > 1:
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
