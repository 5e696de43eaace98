"""UTF-8 is read; another encoding is recognized, named, and read if the sender names it."""

import tracemalloc
from pathlib import Path

import pytest

from contract import ProblemFileError
from contract.files.encodings import check_utf8
from question_files import FLAT, converted, csv_of, faults, json_lines, problems, refusal

TABLE = csv_of(
    [
        ["题干", "A", "B", "正确答案"],
        ["下列哪一项是正确的？", "第一项", "第二项", "B"],
        ["中国的首都是哪里？", "北京", "上海", "A"],
    ]
).decode()


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    found, read = converted(tmp_path, TABLE.encode("utf-8-sig"))
    assert read == problems(tmp_path, TABLE.encode())
    assert found is not None
    assert found.has_mark
    assert found.columns["question"] == "题干"


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("gbk", "gbk"),
        ("gb18030", "gbk"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32"),
    ],
)
def test_the_refusal_names_the_encoding_that_reads_the_file(
    tmp_path: Path, codec: str, name: str
) -> None:
    data = TABLE.encode(codec)
    assert f"send it with encoding={name}," in refusal(tmp_path, data)
    found, read = converted(tmp_path, data, encoding=name)
    assert read == problems(tmp_path, TABLE.encode())
    assert found is not None
    assert found.encoding == name
    assert found.statement.text == (
        f"read as flat rows (CSV, {name.upper()}): question from 题干, options from A to B, "
        "answer from 正确答案, letters"
    )


def test_utf_16_with_its_high_byte_first_is_read(tmp_path: Path) -> None:
    data = b"\xfe\xff" + TABLE.encode("utf-16-be")
    assert problems(tmp_path, data, encoding="utf-16") == problems(tmp_path, TABLE.encode())


def test_our_own_rows_in_another_encoding_are_converted(tmp_path: Path) -> None:
    row = {"problem": "题", "questions": [{"question": "问", "options": ["甲", "乙"]}]}
    data = json_lines([row])
    found, read = converted(tmp_path, data.decode().encode("gbk"), encoding="GBK")
    assert found is not None
    assert found.shape == "quorum"
    assert [problem.text for problem in read] == ["题"]


def test_bytes_of_no_encoding_are_refused_with_their_line(tmp_path: Path) -> None:
    data = b"question,A,B\ncaf\xe9,x,y\nna\xefve \xff,x,y\n"
    (fault,) = faults(tmp_path, data)
    assert (fault.line, fault.unit) == (2, "line")
    assert "not UTF-8: byte 0xe9" in fault.reason
    assert problems(tmp_path, data, encoding="latin-1")[0].questions[0].text == "café"


def test_a_wrong_encoding_is_refused_with_its_line(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, b"question,A,B\nq\xff\xff,x,y\n", encoding="gbk")
    assert fault.line == 2
    assert "not GBK: byte 0xff" in fault.reason


def test_an_unknown_encoding_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    said = refusal(tmp_path, json_lines(FLAT), encoding="klingon")
    assert "there is no encoding 'klingon'; known are utf-8, utf-16," in said
    assert "gbk" in said


def test_western_text_is_not_taken_for_chinese(tmp_path: Path) -> None:
    data = "question,A,B\nUn élève a été aidé,déjà là,né à Orléans\n".encode("latin-1")
    (fault,) = faults(tmp_path, data)
    assert "GBK" not in fault.reason


def test_a_large_file_is_named_by_a_part_of_it(tmp_path: Path) -> None:
    source = tmp_path / "posted"
    source.write_bytes(b"x" * (3 << 20) + "题目内容".encode("gbk") * (1 << 20))
    tracemalloc.start()
    with pytest.raises(ProblemFileError, match="send it with encoding=gbk"):
        check_utf8(source)
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()
