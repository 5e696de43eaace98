"""The label patterns for models that were trained on no contract: the ways in which models of many
makers write an answer, in Chinese and English.

Patterns see text in plain spelling (`contract.plain`): full-width marks are half-width, and `**` is
gone. Each has one group, the text that should name an option. The last match in a reply counts.
Three means keep a doubtful statement from being read:

- A match without a group is passed over: "if the answer is A", "your answer is A". What was said
  before still counts.
- A match whose group holds no option makes the reply unreadable if it is the last one: "the answer
  could be A", "the answer is A? But wait".
- A group named `alone` counts only if it holds an option and nothing else (`contract.alone`). One
  named `option` counts only if it is the text of an option.

A group named `stated` may hold a remark behind its answer (`contract.remarks`).

Repetitions are bounded or possessive, so that a long reply is read in linear time.
"""

from __future__ import annotations

from contract.characters import in_both_scripts
from contract.leads import CONTRASTED, CORRECTED, HEDGED, LEAD, LETTER, MARKS
from contract.unstated import DOUBT, ELSEWHERE, EXPLAINED_IN_JSON, IF, OTHERS, PASSED

# behind "<": a token that ends a reply; what follows is another turn
_TOKEN = (
    r"(?:\|(?:endoftext|end_of_text|im_end|im_start|eot_id|end|eot|start_header_id)\||/s|eos|"
    r"end_of_turn|｜end▁of▁sentence｜)>"
)
# A base model goes on with a question of its own making. The answer to that one is not read.
_ASKER = r"(?:question|q|problem|human|user|题目|问题|用户)"
_QUESTION = rf"\n\s*+(?:#{{1,6}} )?{_ASKER}\s?\d{{0,3}}\s?(?::|\n)"
_ANOTHER_QUESTION = (
    rf"(?:[^\n<]*+(?:<(?!{_TOKEN})[^\n<]*+)*+(?:{_QUESTION}|\n\s*+<\|?(?:user|im_start)\|?>|"
    rf"<{_TOKEN})[\s\S]*+)?"
)
# the same after a first line that is a letter
_ANSWERED = rf"\A\s*+{LETTER}[.\s]{{0,3}}{_QUESTION}[\s\S]*+"

# what any of these begins with, so that most places in a reply are passed at once
_BEGIN = (
    r"(?:(?<![A-Z])(?=[A-Z])|(?=[如若假倘要即是为只当错不他她你您同学之原先答正最参故因所综应我本此该这"
    r"可于选结的有很误容上前下另备候次第旧作老考其别易干迷替被未难没无并谁常典按根依怀否反换小例示样修书网题对一起"
    r"以早刚方首头曾过去往开专大模家符必就把单那解更【\[ \t#*_>]))"
)

# the words that the rest may begin with, asked once for all of it
_FIRST_WORD = (
    r"(?=[^A-Za-z]|answers?\b|correct|right|best|final|chosen|selected|appropriate|suitable|my\b|"
    r"most\b|"
    r"option|choice|one\b|i\b|we\b|let|ans\b|solution|conclusion|response|result|assistant|"
    r"ai\b)"
)

STATED = (
    rf"(?i:{_ANSWERED}|{_BEGIN}(?:{IF}{LEAD}|{OTHERS}{LEAD}|"
    rf"{_FIRST_WORD}(?:{ELSEWHERE}|{PASSED}|{EXPLAINED_IN_JSON}|"
    rf"(?:{CONTRASTED}|{CORRECTED}|{LEAD}|{HEDGED})"
    rf"(?={MARKS}(?:{LETTER}(?={DOUBT}))?+(?P<stated>[^\n]+|\n)){_ANOTHER_QUESTION})))"
)

# ---- other forms ---------------------------------------------------------------------------------

BOXED = (
    r"(?i:\b(?:if|unless|suppos(?:e|ing)|assum(?:e|ing)|had|not|rather than|instead of|n[’']t)\b"
    r"[^.!?;:,\n{}]{0,40}?\\boxed\{)|"
    r"(?:如果|若|假如|假设|倘若|不是|并非|而非|不选)[^。!?;,\n{}]{0,12}?\\boxed\{|"
    r"\\(?:boxed|fbox)\{((?:[^{}]|\{[^{}]*\})*+)\}"
    r"(?!\$?\)?\s?(?i:(?:would|could|might|is (?:not|wrong|incorrect)|isn[’']t|was|leads to)\b|"
    r"不对|错误?|则|不成立))"
)
# <answer>C</answer>, <final_answer>C
TAGGED = (
    r"(?i:<(?:final[_ ]?|correct[_ ]?)?(?:answer|ans|答案)>|\[(?:final )?answer\]\s?:?|"
    r"\A\s*+<(?:choice|final|output|result)>(?=[^\n]{1,80}\Z))"
    r"\s*+(?:<(?:choice|option|letter|label|b|strong)>\s*+)?([^<\n]++)"
)
# [[C]], as judges are asked to write
DOUBLY_BRACKETED = r"\[\[\s?([A-Z])\s?\]\]"
# {"answer": "C"}; what is nested behind it in the same object is not read
JSON_FIELD = (
    r"(?i:[\"'](?:(?:final|correct|best|selected|chosen|my)[_ -]?(?:answer|option|choice)|answer|"
    r"answer[_ -]?(?:letter|key|choice|option|label)|(?:最终|正确)?答案|正确选项)[\"']"
    r"\s{0,9}:\s{0,9}(?:\{\s{0,9}[\"'](?:letter|label|option|choice|key)[\"']\s{0,9}:\s{0,9})?)"
    r"(\"[^\"\n]*\"|'[^'\n]*'|\[[^\]\n]*\]|[^\s,}\n]+)"
    r"(?:[^{}]{0,1000}+\{(?:[^{}]|\{[^{}]{0,1000}+\}){0,1000}+\})*+"
)
# {"choice": "C", "reason": ...}: these names are clear only in an object that is the whole reply
JSON_CHOICE = (
    r"\A(?:\s|`{3}(?:json)?)*+\{[^{}\[\]]{0,2000}?[\"'](?:choice|selected|selection|"
    r"selected_option|letter|"
    r"prediction|response|result)[\"']\s{0,9}:\s{0,9}(\"[^\"\n]*\"|'[^'\n]*')"
    r"(?=[^{}\[\]]{0,2000}+\}(?:\s|`{3})*+\Z)"
)
# '[{"question": 1, "answer": "A"}, {"question": 2, "answer": "C"}]', "1. Answer: A\n2. Answer: C":
# the group is empty, for it is not known which question is meant
_NUMBERED = (
    r"(?:(?<![A-Za-z])(?:question|q|problem|part)\s?{0}|(?:问题|题目?|第)\s?{0}\s?[道个小]?[题问]?|"
    r"(?m:^)[ \t*_(#]*{0}(?=[.):、]))[*_\s:.)、的]{{0,6}}"
)
_ONE, _TWO = _NUMBERED.format("[1一]"), _NUMBERED.format("[2二]")
_ITEM = r"\{[^{}]{0,1000}?\"answer\"\s?:"
SEVERAL_QUESTIONS = (
    r"(?i:(?=[qp问题第1一 \t*_(#\[`])(?:"
    rf"\A(?:\s|`{{3}}(?:json)?)*+\[\s*+{_ITEM}[^{{}}]{{0,1000}}+\}}\s*+,\s*+{_ITEM}|"
    rf"{_ONE}(?:the (?:correct )?)?{LEAD}{MARKS}{LETTER}"
    rf"[\s\S]{{0,600}}?{_TWO}(?:the (?:correct )?)?{LEAD}{MARKS}{LETTER}))[\s\S]*+()\Z"
)
# where a sentence begins: "plan B is the best choice" is not about option B
_SENTENCE = (
    r"(?:\A\s?|(?<=[\n.!?:;,。])\s?|(?<=therefore\s)|(?<=thus\s)|(?<=hence\s)|(?<=so\s)|(?<=that\s)|"
    r"(?<=因此)|(?<=所以)|(?<=可见)|(?<=故))"
)
# "C is the correct answer", "(C) Paris is the best choice"
CALLED_RIGHT = (
    r"(?i:\b(?:if|unless|suppose|assum(?:e|ing)|whether|why|not)\b[^.!?;,\n]{0,60}?"
    r"\bthe (?:correct|right|best)|"
    rf"((?:\b(?:option|choice|answer|statement)\s|{_SENTENCE})[(\"'*_]{{0,2}}[A-Z][)\"'*_.:]{{0,2}}"
    r"(?:\s[^.!?\n]{1,200}?)?)\s(?:is|would be|must be|seems to be|appears to be)\s"
    r"(?:(?:therefore|thus|clearly|definitely|indeed|also)\s)?the\s(?:only\s|most\s)?"
    r"(?:(?:correct|right|best|most \w{1,20}|appropriate|suitable)\s(?:answer|option|choice)|"
    r"answer)\b"
    r"(?!\s(?:only|if|when|unless|provided|assuming|just)\b))"
)
CALLED_RIGHT_IN_CHINESE = (
    r"(?:(?:如果|若|假设|假如|即使|是否|为什么)[^。!?;,\n]{0,20}?[A-Z](?:选?项)?(?:才?是|为)正确|"
    rf"((?:(?:选项|答案)\s?|{_SENTENCE})[(\"“]?[A-Z][)\"”]?(?:\s?[、,和与及]\s?[A-Z]){{0,9}}\s?(?:选?项)?)\s?"
    r"(?:(?:才|就)?(?:是|为)(?:唯一)?(?:的)?(?:正确|最佳|最合适)的?(?:答案|选项|选择)|(?:最?符合)题意))"
)
# "Rome is the correct answer", "王五是正确答案", "故选王五"
TEXT_CALLED_RIGHT = (
    rf"(?i:{_SENTENCE}(?P<option>[^.!?;:,。\n]{{2,80}}?)\s?(?:(?:is|must be)\sthe\s(?:only\s|"
    rf"most\s)?"
    r"(?:correct|right|best)\s(?:answer|option|choice)\b(?!\s(?:only|if|when|unless)\b)|"
    r"(?:才|就)?是(?:唯一)?(?:的)?(?:正确|最佳)的?(?:答案|选项|选择)))"
)
TEXT_CHOSEN = (
    r"(?:故|因此|所以|综上,?|应当?)(?:应当?)?选择?\s?:?\s?(?P<option>[^\n,。;]{2,80}?)[。!]?\s*+\Z"
)
# "Choice C is correct. Choice A is incorrect": nothing else is called right. "Option A is correct.
# Option B ..." may be the beginning of a list of all options.
JUDGED_FIRST = (
    r"(?i:\A[\s*_#]*+(?:the )?(?!(?:option|choice|answer|选项)?\s?[(\"'“]?A\b[\s\S]{1,2000}?"
    r"\b(?:option|choice|answer|选项)?\s?[(\"'“]?B\b)((?:(?:option|choice|answer)\s|"
    r"选项\s?)[(\"'“]?[A-Z][)\"'”]?|(?-i:[A-Z])\s?选?项)"
    r"(?:\s?\([^()\n]{1,60}\)|(?:[:.]|,)?\s[^.!?\n]{1,60}?,?)?\s?(?:is (?:the )?(?:correct|"
    r"right)(?: one)?|是?正确的?)"
    r"(?![^.!?;。\n]{0,60}\b(?:if|when|unless|only)\b)"
    r"(?=(?:(?!(?<!in)(?<!not )(?<!n[’']t )\bcorrect\b|(?<!not )\b(?:right|true)\b|(?<!不)正确|"
    r"对的)[\s\S])*+\Z))"
)
# The only judgement in the reply, and its end: "Therefore, option C is correct."
ONLY_JUDGEMENT = (
    r"(?i:\A(?:(?!correct|\btrue\b|\bright\b|wrong|false|正确|错误|对的|不对)[\s\S])*?"
    r"(?:therefore|thus|so|hence|因此|所以|故|综上所述|综上)[,:]?\s?(?:only\s|只有\s?)?"
    r"((?:(?:(?:the\s)?(?:option|choice)|选项)\s?[(\"'“]?[A-Z][)\"'”]?|(?-i:[A-Z])\s?选?项)\s?"
    r"(?:is\s(?:the\s)?correct(?:\sone)?|(?:是|为)?正确的?))[.。!]?\s*+\Z)"
)
# The last line: "C", "**C. Paris**", "Therefore, (C)."
LAST_LINE = (
    rf"(?m:^)[ \t#>]*+(?P<alone>(?:[^\n<]|<(?!{_TOKEN}|/\w{{1,12}}>\s*\Z))++)"
    rf"(?:</\w{{1,12}}>)?(?:(?:\s|`{{3}})*+\Z|<{_TOKEN})"
)
CONCLUSION = (
    r"(?i:(?:\b(?:so|therefore|thus|hence|consequently|definitely|in (?:conclusion|summary|short)|"
    r"by (?:process of )?elimination|"
    r"i(?:[’']m (?:\w{1,10} )?(?:sure|certain|confident)| think| believe)(?: that)?(?= it))|"
    r"因此|所以|综上所述|综上|故|我(?:觉得|认为)|"
    r"(?=[应it])(?<![^\s.!?;:。])(?<![A-Za-z,]\s)"
    r"(?=应该?是|it(?:[’']s|\sis)\s|the (?:correct|right) one is\s))[,:]?\s{0,3}"
    r"(?:(?:it|that)(?:[’']s|\sis)\s|(?:应该?)?是|the (?:correct|right) one is\s)?"
    r"(?=(?P<alone>[^\n]++)(?:\s|`{3})*+\Z))"
)
# The first line, with an explanation below: "C\n\nExplanation: ..."
FIRST_LINE = r"\A\s*+(?P<alone>[^\n]++)\n"
# "B, because A is wrong"
WITH_A_REASON = (
    r"(?i:\A\s*+((?:option |answer )?[A-Z][).]?,? (?:because|since)\b[^\n]*|[A-Z],?因为[^\n]*))"
)

_PATTERNS = (
    STATED,
    BOXED,
    TAGGED,
    DOUBLY_BRACKETED,
    JSON_FIELD,
    JSON_CHOICE,
    SEVERAL_QUESTIONS,
    CALLED_RIGHT,
    CALLED_RIGHT_IN_CHINESE,
    TEXT_CALLED_RIGHT,
    TEXT_CHOSEN,
    JUDGED_FIRST,
    ONLY_JUDGEMENT,
    LAST_LINE,
    CONCLUSION,
    FIRST_LINE,
    WITH_A_REASON,
)
OPEN_PATTERNS = tuple(map(in_both_scripts, _PATTERNS))
