"""Every sentence that has a code is listed, and has Chinese words with the same parameters."""

import re
from collections import Counter

from make_messages import outputs, parameters, templates
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
