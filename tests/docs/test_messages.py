"""Every sentence that has a code is listed, and has Chinese words with the same parameters."""

import ast
import re
from collections import Counter
from collections.abc import Iterator

from make_messages import SOURCES, outputs, parameters, templates
from page_words import COMMANDS, words

CHINESE = words("zh_sentences")


def test_the_page_of_messages_is_what_the_sources_make() -> None:
    for path, text in outputs().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run make messages"


def test_a_code_has_one_template_and_its_parameters() -> None:
    found = list(templates())
    assert len(found) > 150
    assert [code for code, count in Counter(code for code, *_ in found).items() if count > 1] == []
    for code, template, given in found:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code), code
        assert parameters(template) == given, code


def test_every_sentence_has_chinese_words() -> None:
    found = {code: given for code, _, given in templates()}
    chinese = {
        code: parameters(text) for code, text in CHINESE.items() if not code.startswith("pydantic-")
    }
    assert chinese == found


def test_chinese_words_leave_no_english_ones() -> None:
    plain = {code: re.sub(rf"\{{\w+\}}|{COMMANDS}", "", text) for code, text in CHINESE.items()}
    assert [code for code, text in plain.items() if re.search("[a-z]{3,} [a-z]{3,}", text)] == []
    # the rest of these is punctuation
    frames = {"invalid-parameter", "job-damaged", "told-together"}
    assert {code for code, text in plain.items() if not re.search("[一-鿿]", text)} == frames


def is_sentence(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Sentence"
    )


def literals(node: ast.AST) -> Iterator[str]:
    """The texts in an expression that are no sentence's."""
    if is_sentence(node):
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    for child in ast.iter_child_nodes(node):
        yield from literals(child)


def is_english(text: str) -> bool:
    """True for two words and for a word that joins others; examples of pairs are no words."""
    return bool(re.search(r"[A-Za-z]+ [a-z]+|^ [a-z]+ $", re.sub(r"\S+=\S+", "", text)))


def test_no_value_of_a_sentence_is_english_words() -> None:
    """A translation has nothing for them: they must be sentences themselves."""
    assert [is_english(text) for text in ("no fields", " and ", ", ", "TAB", "a=B c=D")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    found = [
        (path.name, node.lineno, text)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and is_sentence(node)
        for word in node.keywords
        for text in literals(word.value)
        if is_english(text)
    ]
    assert found == []
