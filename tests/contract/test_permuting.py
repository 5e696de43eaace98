"""Which questions may be shown with their options in another order."""

import pytest

from contract import Question, options_may_move, parse_problems

OPTIONS = ("红", "绿", "蓝", "黄")


def may_move(*options: str, question: str = "什么颜色？", problem: str = "一个盒子。") -> bool:
    return options_may_move(problem, Question(question, options))


@pytest.mark.parametrize(
    "option",
    [
        "以上都不对",
        "以上都对",
        "都不对",
        "全部正确",
        "其余都不对",
        "没有正确答案",
        "A和B都对",
        "Ａ和Ｂ",
        "A or B",
        "选项A",
        "选项b",
        "a和b",
        "(a) and (c)",
        "前两项都对",
        "后两个",
        "前者",
        "两者都可以",
        "同上",
        "上一个",
        "上面的都对",
        "头两个",
        "第一项和第二项",
        "AB",
        "ACD",
        "其他",
        "其他的都不对",
        "第一个选项",
        "选项①",
        "所有选项",
        "None of the above",
        "all of the above",
        "None of these",
        "All of them are correct",
        "all are correct",
        "No option is right",
        "both A and B",
        "Both",
        "neither",
        "the first two",
        "More than one",
        "All three",
        "answers 1 and 2",
        "choice two",
        "the remaining ones",
        "the last option",
        "any of the other options",
    ],
)
def test_an_option_that_refers_to_others_keeps_all_in_place(option: str) -> None:
    assert not may_move("甲", "乙", option, "丙")


@pytest.mark.parametrize(
    ("question", "problem"),
    [
        ("关于选项A，哪项正确？", "盒子。"),
        ("选项b为什么不对？", "盒子。"),
        ("第二个选项错在哪里？", "盒子。"),
        ("Why is option c wrong?", "A box."),
        ("什么颜色？", "甲选了B，乙选了C。"),
        ("什么颜色？", "注意最后一个选项。"),
        ("Which one?", "A is taller than B."),
    ],
)
def test_a_text_that_names_an_option_keeps_all_in_place(question: str, problem: str) -> None:
    assert not may_move(*OPTIONS, question=question, problem=problem)


@pytest.mark.parametrize(
    "options",
    [
        OPTIONS,
        ("①和③", "②", "①", "②和④"),
        ("X射线", "DNA", "A1", "K-9"),
        ("A detailed depiction", "A brief one", "Nothing", "A dog"),
        ("应由其他法院受理", "十八岁以上的人", "三年以下有期徒刑", "50%以上"),
        ("BA", "HE", "ABBA", "AZ"),
        ("Tom和Ann", "Jia 和 John", "3和4", "x+y"),
        ("一个实数解", "两个实数解", "无解", "无法确定"),
        ("none", "one", "two", "three")[1:],
    ],
)
def test_independent_options_may_move(options: tuple[str, ...]) -> None:
    assert may_move(*options)


def test_options_with_letters_of_their_own_may_move() -> None:
    row = b'{"problem": "p", "questions": [{"question": "q", "options": ["(A)x", "(B)y"]}]}'
    (problem,) = parse_problems(row)
    assert options_may_move(problem.text, problem.questions[0])


def test_a_letter_that_labels_no_option_is_a_name() -> None:
    assert may_move(*OPTIONS, problem="X 和 Y 比赛。")
    assert not may_move(*OPTIONS, problem="A 和 Y 比赛。")


def test_an_article_that_begins_a_sentence_is_no_letter() -> None:
    problem = "A box is red. A small one is not.\nA third lies there."
    assert may_move(*OPTIONS, question="A book?", problem=problem)
