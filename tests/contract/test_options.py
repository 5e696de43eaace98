"""Options that begin with their own letters or numbers."""

import json
from dataclasses import replace

import pytest

from contract import PromptFormat, extract_label, options_may_move, own_texts, parse_problems

FMT = PromptFormat(system_prompt="", user_template="{problem}|{question}|{options}")


@pytest.mark.parametrize(
    "options",
    [
        ("A. 红", "B. 绿"),
        ("A.红", "B.绿"),
        ("A．红", "B．绿"),
        ("A、红", "B、绿"),
        ("A：红", "B：绿"),
        ("A: 红", "B: 绿"),
        ("A) 红", "B) 绿"),
        ("(A)红", "(B)绿"),
        ("(A) 红", "(B) 绿"),
        ("（A）红", "（B）绿"),
        ("（Ａ）红", "（Ｂ）绿"),
        ("[A] 红", "[B] 绿"),
        ("【A】红", "【B】绿"),
        (" a. 红", "b. 绿"),
        ("1. 红", "2. 绿"),
        ("1、红", "2、绿"),
        ("1) 红", "2) 绿"),
        ("(1)红", "(2)绿"),
        ("（1）红", "（2）绿"),
        ("①红", "②绿"),
        ("① 红", "② 绿"),
    ],
)
def test_letters_and_numbers_on_every_option_are_removed(options: tuple[str, ...]) -> None:
    assert own_texts(options) == ("红", "绿")


@pytest.mark.parametrize(
    "options",
    [
        ("红", "绿"),
        ("A. 红", "绿"),
        ("A. 红", "C. 绿"),
        ("B. 红", "A. 绿"),
        ("A. 红",),
        ("A", "B"),
        ("A.", "B."),
        ("A.D.", "B.C."),
        ("A、B", "B、C", "C、D"),
        ("A:B", "B:C"),
        ("A型", "B型"),
        ("A 红", "B 绿"),
        ("AB. 红", "BC. 绿"),
        ("1. 红", "3. 绿"),
        ("1.5", "2.5", "3.5"),
        ("1:30", "2:30"),
        ("1、2", "2、3", "3、4"),
        ("(1)(2)", "(2)(3)"),
        ("①②", "②③"),
        ("1", "2"),
        ("1个", "2个"),
        ("1) 红",),
    ],
)
def test_other_options_stay_unchanged(options: tuple[str, ...]) -> None:
    assert own_texts(options) == options


def test_an_options_text_may_itself_be_a_letter() -> None:
    assert own_texts(("A. B", "B. A")) == ("B", "A")
    assert own_texts(("(A)A brief", "(B)A long one\n(B) line")) == (
        "A brief",
        "A long one\n(B) line",
    )


def test_a_prompt_shows_each_letter_once_in_every_order() -> None:
    row = {
        "problem": "题",
        "questions": [{"question": "问", "options": ["A. 红", "B. 绿", "C. 蓝"]}],
    }
    (problem,) = parse_problems(json.dumps(row).encode())
    (question,) = problem.questions
    assert FMT.messages(problem, question)[0]["content"] == "题|问|A. 红\nB. 绿\nC. 蓝"
    turned = replace(question, options=question.options[1:] + question.options[:1])
    assert FMT.messages(problem, turned)[0]["content"] == "题|问|A. 绿\nB. 蓝\nC. 红"
    assert extract_label("答案是：红", turned.options, FMT.label_patterns) == "C"
    assert extract_label("答案是：C. 红", turned.options, FMT.label_patterns) == "C"
    assert options_may_move(problem.text, question)
    assert problem.row["questions"][0]["options"] == ["A. 红", "B. 绿", "C. 蓝"]


def test_a_question_built_in_code_shows_its_letters_once() -> None:
    row = {"problem": "题", "questions": [{"question": "问", "options": ["x", "y"]}]}
    (problem,) = parse_problems(json.dumps(row).encode())
    question = replace(problem.questions[0], options=("(A)红", "(B)绿"))
    assert FMT.messages(problem, question)[0]["content"] == "题|问|A. 红\nB. 绿"
