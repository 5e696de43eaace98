"""Takes a prompt apart into the problem, question and options that it was made from.

Two forms are known: the competition's (### 题目, ### 问题) and the recipe's own template. A request
after the options ("请逐步分析", "Answer:") belongs to none of the three parts.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from contract import LABELS, PromptFormat

_COMPETITION = re.compile(
    r"#+\s*题目\s*[:：]\s*\n(?P<problem>.*?)\n#+\s*问题\s*[:：]\s*\n(?P<question>.*)\Z", re.DOTALL
)
_OPTION = re.compile(r"^([A-Z])\s*[.．、:：]\s?(.*)$")
# A line that belongs to no option: a heading, a rule, or words that ask for the answer.
_REQUEST = re.compile(
    r"\s*(?:(?:#{2,}|={3,}|-{3,}|\*{3,}|(?:\\n)+\s*$)|"
    r"[#*_【（(>\s]*(?:"
    r"请|<\|[^|\n]*\|>|</s>|```\s*$|(?:assistant|助手|助理)\s*[:：]|(?:单选|单项选择|多选)题?[)）]|"
    r"(?:不要|不用|不必|无需|无须|必须|务必|需要你?|要求你?|只能|只需|只要|仅|直接|按照?|用中文|帮我)"
    r"[^\n]{0,30}(?:解释|回答|输出|选|推理|作答|字母|格式|给出)|"
    r"(?:从|根据|依据|以上|上述|在以上)[^\n]{0,20}(?:选择|选出|(?:选项|答案)[^\n]{0,4}哪)|"
    r"(?:你会|那么|所以|因此)[^\n]{0,6}(?:选|答案)|"
    r"(?:让我们|我们来?|现在|下面|首先)[^\n]{0,12}(?:分析|思考|推理|解答|回答|作答|开始)|"
    r"(?:注意|要求|提示|说明|输出格式|回答格式|格式|最后一行)\s*[:：的]|"
    r"(?:你的|您的|正确|最终|参考)?"
    r"(?:答案?|解答?|解析|分析|作?答|回答|选择|输出(?:格式[^\n]{0,12})?|(?:推理|思考)(?:过程)?)\s*(?:是|为)?\s*[】*_]*\s*[:：]?\s*$|"
    r"(?:逐步|一步一步地?|仔细)(?:分析|思考|推理)|"
    r"let(?:'|’)?s (?:think|work|solve|reason|go)\b|think (?:step|carefully|about)\b|"
    r"(?:please|pls|begin!|which (?:one|option|answer|choice)|"
    r"(?:you must|do not|don['’]t|return|now) "
    r"(?:answer|explain|reply|respond|choose|select|output|only|the letter))|"
    r"(?:choose|select|pick|give|provide|write|output|reply|respond|explain|"
    r"answer|state|end|finish)\b[^\n]*\b(?:answer|option|choice|letter|reasoning|line|one|step)s?\b|"
    r"(?:your |the |final |correct )*(?:answer|response|solution|explanation|reasoning|output|note)"
    r"\s*[\]*_]*\s*[:：]"
    r"))",
    re.IGNORECASE,
)
# Such a request at the end of the last option's own line.
_REQUEST_BEHIND = re.compile(
    r"(?:\s+|(?<=[。.；;]))请(?:你|您)?(?:[一逐]步|仔细|先|给出|选出|选择(?:正确|一个|最)|回答|作答|分析)[^\n]*\Z|"
    r"\s*[（(](?:请[^\n]*|单选题?|多选题?)[）)]\s*\Z|\s+答案\s*[:：]\s*\Z|"
    r"\s+(?:let(?:'|’)?s think|think step by step|please (?:choose|select|think|answer))\b[^\n]*\Z",
    re.IGNORECASE,
)


class Parts(NamedTuple):
    """The parts of a prompt; `form` names the form that it had."""

    problem: str
    question: str
    options: tuple[str, ...]
    form: str


def own_form(fmt: PromptFormat) -> re.Pattern[str]:
    """The pattern of prompts made from `fmt`'s own template, with a group for each part."""
    template = re.escape(fmt.user_template)
    for part in ("problem", "question", "options"):
        template = template.replace(re.escape("{" + part + "}"), f"(?P<{part}>.+?)")
    return re.compile(template + r"\s*\Z", re.DOTALL)


def take_apart(prompt: str, own: re.Pattern[str]) -> Parts | None:
    """The parts of `prompt`; None if it has none of the known forms."""
    if parts := _COMPETITION.search(prompt):
        form = "instruction, competition's template (### 题目, ### 问题) taken out"
        text = parts["question"]
    elif parts := own.search(prompt):
        form = "instruction, this recipe's own template taken out"
        text = parts["question"] + "\n" + parts["options"]
    else:
        return None
    question, options = _split_options(text)
    return Parts(parts["problem"].strip(), question, tuple(options), form)


def _split_options(text: str) -> tuple[str, list[str]]:
    """Split a text into the question and the options, which begin with "A. ", "B. " and so on; an
    option may have further lines.
    """
    lines = text.splitlines()
    starts = [i for i, line in enumerate(lines) if (m := _OPTION.match(line)) and m[1] == "A"]
    if not starts:
        return text.strip(), []
    options: list[list[str]] = []
    for line in lines[starts[-1] :]:
        match = _OPTION.match(line)
        if match and len(options) < len(LABELS) and match[1] == LABELS[len(options)]:
            options.append([match[2]])
        else:
            options[-1].append(line)
    options[-1] = _without_request(options)
    question = "\n".join(lines[: starts[-1]]).strip()
    return question, ["\n".join(option).strip() for option in options]


def _without_request(options: list[list[str]]) -> list[str]:
    """The last option's lines, without the prompt's request for an answer. The request begins at
    words that ask, or at an empty line if no other option has an empty line within.
    """
    *others, last = options
    one_paragraph = not any("" in map(str.strip, _stripped(option)) for option in others)
    for place, line in enumerate(last[1:], start=1):
        if _REQUEST.match(line) or (one_paragraph and not line.strip()):
            last = last[:place]
            break
    return [*last[:-1], _REQUEST_BEHIND.sub("", last[-1])]


def _stripped(lines: list[str]) -> list[str]:
    """`lines` without the empty ones at their end."""
    count = len(lines)
    while count and not lines[count - 1].strip():
        count -= 1
    return lines[:count]
