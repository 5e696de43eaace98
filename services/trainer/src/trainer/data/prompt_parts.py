"""Takes a prompt apart into the problem, question and options that it was made from.

Two templates are known: the competition's (### 题目, ### 问题) and the recipe's own. A request
after the options ("请逐步分析", "Answer:") belongs to none of the three parts. A prompt with one of
our system prompts was made from the recipe's template as it is, so no request follows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from contract import LABELS, PromptFormat
from contract.contract import ANSWER_SYSTEM_PROMPT, SYSTEM_PROMPT, without_problem

_COMPETITION = re.compile(
    r"#+\s*题目\s*[:：]\s*\n(?P<problem>.*?)\n#+\s*问题\s*[:：]\s*\n(?P<question>.*)\Z", re.DOTALL
)
_OWN_TEMPLATE = "this recipe's own template taken out"
_OPTION = re.compile(r"^(?P<label>[A-Z])\s*[.．、:：]\s?(?P<text>.*)$")
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
    """The parts of a prompt; `problem` is "" if it has none. `template` names the template that it
    was made from.
    """

    problem: str
    question: str
    options: tuple[str, ...]
    template: str


@dataclass(frozen=True)
class OwnForm:
    """How prompts of a recipe's format look: patterns with a group for each part, for the whole
    template, for the template of a problem without a text, and for one option's line; and the
    system prompts that may stand before them.
    """

    whole: re.Pattern[str]
    without_problem: re.Pattern[str]
    option: re.Pattern[str]
    system_prompts: tuple[str, ...]


def own_form(fmt: PromptFormat) -> OwnForm:
    bare = without_problem(fmt.user_template).replace("{problem}", "")
    # the data may have settled another style than the recipe's, which has another default
    prompts = (fmt.system_prompt, SYSTEM_PROMPT, ANSWER_SYSTEM_PROMPT)
    return OwnForm(
        _template_pattern(fmt.user_template),
        _template_pattern(bare),
        _option_pattern(fmt.option_line),
        tuple(dict.fromkeys(prompt for prompt in prompts if prompt)),
    )


def _template_pattern(template: str) -> re.Pattern[str]:
    pattern = re.escape(template.strip())
    for part in ("problem", "question", "options"):
        pattern = pattern.replace(re.escape("{" + part + "}"), f"(?P<{part}>.+?)")
    return re.compile(pattern + r"\s*\Z", re.DOTALL)


def _option_pattern(option_line: str) -> re.Pattern[str]:
    if not all(option_line.count(part) == 1 for part in ("{label}", "{text}")):
        return _OPTION
    pattern = re.escape(option_line).replace(re.escape("{label}"), "(?P<label>[A-Z])")
    return re.compile(pattern.replace(re.escape("{text}"), "(?P<text>.*)"))


def take_apart(prompt: str, own: OwnForm, system: str = "") -> Parts | None:
    """The parts of `prompt`, which came with the system prompt `system`; None if it was made from
    none of the known templates.
    """
    if parts := _made_by_us(prompt, own, system):
        return parts
    if found := _COMPETITION.search(prompt):
        template = "competition's template (### 题目, ### 问题) taken out"
        text = found["question"]
    elif found := own.whole.search(prompt) or own.without_problem.match(prompt.lstrip()):
        template = _OWN_TEMPLATE
        text = found["question"] + "\n" + found["options"]
    else:
        return None
    question, options = _split_options(text)
    return Parts(_problem_in(found), question, tuple(options), template)


def _made_by_us(prompt: str, own: OwnForm, system: str) -> Parts | None:
    """The parts of a prompt with one of our system prompts, before it or in its first lines."""
    before = next((one for one in own.system_prompts if prompt.startswith(f"{one}\n")), None)
    if before is None and system not in own.system_prompts:
        return None
    user = prompt.removeprefix(before or "").lstrip()
    found = own.whole.match(user) or own.without_problem.match(user)
    options = _options(_lines(found["options"]), own.option) if found else []
    if not found or not options:
        return None
    texts = ("\n".join(option).strip() for option in options)
    return Parts(_problem_in(found), found["question"].strip(), tuple(texts), _OWN_TEMPLATE)


def _problem_in(found: re.Match[str]) -> str:
    return (found.groupdict().get("problem") or "").strip()


def _split_options(text: str) -> tuple[str, list[str]]:
    """Split a text into the question and the options, which begin with "A. ", "B. " and so on; an
    option may have further lines.
    """
    lines = _lines(text)
    starts = [i for i, line in enumerate(lines) if (m := _OPTION.match(line)) and m[1] == "A"]
    if not starts:
        return text.strip(), []
    options = _options(lines[starts[-1] :], _OPTION)
    options[-1] = _without_request(options)
    question = "\n".join(lines[: starts[-1]]).strip()
    return question, ["\n".join(option).strip() for option in options]


def _options(lines: list[str], pattern: re.Pattern[str]) -> list[list[str]]:
    """Each option's lines, without its label. Empty if the first line is no option A."""
    options: list[list[str]] = []
    for line in lines:
        match = pattern.match(line)
        if match and len(options) < len(LABELS) and match["label"] == LABELS[len(options)]:
            options.append([match["text"]])
        elif not options:
            return []
        else:
            options[-1].append(line)
    return options


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").split("\n")


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
