"""Training files of problems in any shape and container, and what a recipe says about them."""

import gzip
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from backports import zstd

from contract import PromptFormat
from trainer.data.examples import Examples, load_examples
from trainer.data.preparing import prepare
from trainer.data.report import lines
from trainer.errors import TrainerError
from trainer.recipe import DataFile, Recipe

MMLU = "question,A,B,C,D,answer\nWhat is one and one?,1,2,3,4,B\nAnd one and two?,1,2,3,4,C\n"
ARC = {
    "id": "a1",
    "question": "Which is hot?",
    "choices": {"text": ["ice", "fire"], "label": ["1", "2"]},
    "answerKey": "2",
}

CHAT = [
    {"role": "user", "content": "题目：\n甲比乙高。\n\n问题：\n谁高？\n\n选项：\nA. 甲\nB. 乙"},
    {"role": "assistant", "content": "答案是：A"},
]


def load(folder: Path, data: bytes, name: str = "rows.txt", **how: Any) -> Examples:
    (folder / name).write_bytes(data)
    return load_examples([DataFile(file=str(folder / name), **how)], PromptFormat())


def test_a_recipe_trains_on_a_table_and_its_report_says_how_it_was_read(
    tiny_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    (tmp_path / "mmlu.csv").write_text(MMLU)
    recipe = tiny_recipe().model_copy(
        update={"train": (DataFile(file=str(tmp_path / "mmlu.csv")),)}
    )
    answers = recipe.with_style("answer")
    none_held = answers.data.model_copy(update={"validation_share": 0.0})
    made = prepare(answers.model_copy(update={"data": none_held}))
    assert [(one.question.text, one.label) for one in made.train] == [
        ("What is one and one?", "B"),
        ("And one and two?", "C"),
    ]
    assert [one.problem.text for one in made.train] == ["", ""]
    said = dict(lines(made.report))
    form = (
        "flat rows (CSV): question from question, options from A to D, answer from answer, letters"
    )
    assert said[f"read from mmlu.csv: {form}"] == "2"


def test_a_benchmarks_shape_is_recognized_packed_or_not(tmp_path: Path) -> None:
    data = (json.dumps(ARC) + "\n" + json.dumps({**ARC, "id": "a2"}) + "\n").encode()
    for packed in (data, gzip.compress(data)):
        loaded = load(tmp_path, packed)
        assert [(one.label, one.question.options) for one in loaded.rows] == [
            ("B", ("ice", "fire"))
        ] * 2
        assert loaded.rows[0].source == "rows.txt, a1, question 1"
        assert next(iter(loaded.recognized)).startswith("rows.txt: arc rows (")


def test_parquet_and_zstd_are_trained_on(tmp_path: Path) -> None:
    (tmp_path / "mmlu.csv").write_text(MMLU)
    table = tmp_path / "mmlu.parquet"
    select = f"FROM read_csv('{tmp_path}/mmlu.csv', all_varchar=true)"
    duckdb.execute(f"COPY ({select}) TO '{table}' (FORMAT parquet)")
    packed = zstd.compress(MMLU.encode())
    for data, form in ((table.read_bytes(), "Parquet"), (packed, "CSV, zstd")):
        loaded = load(tmp_path, data)
        assert [one.label for one in loaded.rows] == ["B", "C"]
        assert next(iter(loaded.recognized)).startswith(f"rows.txt: flat rows ({form}): ")


def test_a_packed_file_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    gzip_open = gzip.open

    def counting(file: Any) -> Any:
        opened.append(file)
        return gzip_open(file)

    monkeypatch.setattr(gzip, "open", counting)
    for rows in (MMLU, "".join(json.dumps({"messages": turns}) + "\n" for turns in [CHAT, CHAT])):
        assert len(load(tmp_path, gzip.compress(rows.encode())).rows) == 2
        assert len(opened) == 1
        opened.clear()


def test_analyses_of_other_shapes_are_trained(tmp_path: Path) -> None:
    row = {"question": "谁高？", "options": ["甲", "乙"], "answer": "A", "explanation": "甲高。"}
    loaded = load(tmp_path, json.dumps([row]).encode())
    assert [one.question.analysis for one in loaded.rows] == ["甲高。"]
    assert next(iter(loaded.recognized)).endswith(", with analyses")


def test_what_a_file_does_not_say_is_named_in_the_recipe(tmp_path: Path) -> None:
    table = "题干,甲项,乙项,正确\n谁高？,小明,小红,1\n谁矮？,小明,小红,1\n".encode("gbk")
    with pytest.raises(TrainerError, match=r"rows\.txt: .*gbk"):
        load(tmp_path, table)
    columns = {"question": "题干", "A": "甲项", "B": "乙项", "answer": "正确"}
    loaded = load(tmp_path, table, encoding="gbk", columns=columns, index_base=0)
    assert [one.label for one in loaded.rows] == ["B", "B"]
    other = load(tmp_path, table, encoding="gbk", columns=columns, index_base=1)
    assert [one.label for one in other.rows] == ["A", "A"]
    assert loaded.sha256 != other.sha256


def test_a_named_shape_is_taken_even_for_chats(tmp_path: Path) -> None:
    row = {"question": "谁高？", "options": ["甲", "乙"], "answer": "A", "messages": []}
    data = json.dumps([row]).encode()
    with pytest.raises(TrainerError, match="no turn of the user"):
        load(tmp_path, data)
    assert len(load(tmp_path, data, shape="flat").rows) == 1


def test_faults_of_other_shapes_name_their_place(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=r"rows\.txt: line 2, answer: "):
        load(tmp_path, b"question,A,B,answer\nWho?,x,y,Q\nWho?,x,y,A\nWhy?,x,y,B\n")


@pytest.mark.parametrize(
    ("module", "data"), [("duckdb", b"PAR1 and more"), ("backports", b"\x28\xb5\x2f\xfd and more")]
)
def test_a_package_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, data: bytes
) -> None:
    """In an environment of one's own; the pinned lists have both."""
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(TrainerError, match=f"there is no module {module}.* here: install"):
        load(tmp_path, data)


def test_files_read_without_settings_keep_their_digest(tmp_path: Path) -> None:
    """So that a published model is found again by a later version."""
    row = {"problem": "题", "questions": [{"question": "问", "options": ["甲"], "answer": "A"}]}
    assert load(tmp_path, json.dumps(row).encode()).sha256 == (
        "7babdd0516a24ee063f7b0c4c3a13fd8e133f790c74ea4d96ce6eb6e934bb67d"
    )


SHAPES = {
    "agieval_jec-qa-kd.jsonl": 479,  # 520 have several right answers, and one has none
    "agieval_lsat-ar.jsonl": 230,
    "arlsat_dev.json": 231,
    "arlsat_train.json": 1630,
    "bbh_logical_deduction_five.json": 250,
    "cmmlu_logical.csv": 123,
    "gaokao_math1.json": 214,
    "logiqa2_dev_zh.txt": 1593,
}


@pytest.mark.skipif("QUORUM_REAL_DATA" not in os.environ, reason="QUORUM_REAL_DATA is not set")
@pytest.mark.parametrize("name", SHAPES)
def test_every_real_shape_is_trained_on(name: str) -> None:
    path = Path(os.environ["QUORUM_REAL_DATA"]) / "shapes" / name
    loaded = load_examples([DataFile(file=str(path))], PromptFormat())
    assert len(loaded.rows) == SHAPES[name]
