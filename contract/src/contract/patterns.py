"""The label patterns for models that were trained on no contract: the ways in which models of many
makers write an answer, in Chinese and English.

Patterns see text in plain spelling (`contract.plain`): full-width marks are half-width, and `**` is
gone. Each has one group, the text that should name an option. The last match in a reply counts.
Three means keep a doubtful statement from being read:

- A match without a group is passed over: "if the answer is A", "your answer is A". What was said
  before still counts.
- A match whose group holds no option makes the reply unreadable if it is the last one: "the answer
  could be A", "the answer is A? But wait".
- A group named `alone` counts only if it holds an option and nothing else (`contract.alone`).

Repetitions are bounded or possessive, so that a long reply is read in linear time.
"""

from __future__ import annotations

_SPACE = r"\s{0,3}"
_MARKS = r"[\s*_#>]*+"
# a letter by itself, perhaps in brackets
_LETTER = r"[(\[{\"'“*_$]{0,3}[A-Z][)\]}\"'”*_$]{0,3}(?![A-Za-z])"

# ---- what is not stated --------------------------------------------------------------------------

_IF = (
    r"(?:\b(?:if|unless|suppose|supposing|assum(?:e|ing|ed)|imagine|whether|let[’']?s say|doubt)"
    r"\b[^.!?;,\n]{0,40}?\b|(?:not|do(?:es)?n[’']t)\s(?:think|believe)\b[^.!?;,\n]{0,40}?\b|"
    r"\bif\b[^.!?;\n]{0,80}?,\sthen\b[^.!?;,\n]{0,10}?\b|"
    r"(?:如果|若|只要|当)[^。!?;\n]{0,60}?(?:那么|则|就)[^。!?;,\n]{0,8}?|"
    r"\b(?:might|could|may|would)\s(?:think|say|argue|assume|be tempted)\b[^.!?;,\n]{0,40}?\b|"
    r"(?:如果|若|假设|假如|假定|假使|倘若|要是|即使|即便|是否|为什么|为何|有人|有些人|很多人|不少人|误以为|"
    r"容易)[^。!?;,\n]{0,12}?)"
)
_OTHERS = (
    r"(?:\b(?:incorrect|wrong|false|your|their|his|her|students?[’']?s?|user[’']s|tempting|initial|"
    r"previous|original|earlier)\s(?:final\s)?|"
    r"(?:错误|不正确|他|她|你|您|同学|学生|之前|原来|先前)的?)"
)
# after a letter: the writer stops to think again
_DOUBT = (
    r"(?:\s{0,3}\?|[.,;。…!\s\-–—]{0,8}(?:(?:but|hmm+|oh|um+|ah|actually|但是?|不过|哦|呃|嗯)[,.。\s]{0,4}){0,3}"
    r"(?:wait|hold on|等等|等一下|且慢|不对[,。!?]))"
)

# ---- the words before an answer ------------------------------------------------------------------

_NOUN = (
    r"(?<![A-Za-z])(?:answers?|(?:correct|right|best|final|chosen|selected|appropriate|suitable|my)\s"
    r"(?:option|choice|response|letter|alternative|pick|selection|guess))(?![A-Za-z])"
    r"(?:\s(?:choice|option|letter|key))?"
    r"(?:\s(?:to|for|of)\s(?:this|the|that)\s(?:\w{1,20}\s)?(?:question|problem|puzzle|scenario))?"
    r"(?:\s?\([^()\n]{1,40}\)(?=\s?:))?"
)
_ADVERBS = (
    r"(?:,?\s{1,2}(?:therefore|thus|then|hence|clearly|indeed|most likely|likely|probably|"
    r"definitely|certainly|obviously|simply|still|actually|now|in fact|of course)\b,?){0,2}"
)
_VERB = (
    r"(?:is|are|was|remains|becomes|(?:should|must|would|will|has to|needs to|seems to|appears to|"
    r"turns out to)(?: then)? be)\b"
)
_ENGLISH_LEAD = (
    rf"{_NOUN}(?:{_MARKS}(?:[:=]|-{{1,2}}>|→)|{_ADVERBS}{_SPACE}{_VERB}{_ADVERBS}{_SPACE}:?)"
)
_CHOOSING = (
    r"\bI(?:[’'](?:d|ll)|\s(?:would|will|must|have to))?\s(?:(?:therefore|thus|would)\s)?"
    r"(?:choose|chose|pick|select|go with|opt for|went with)\b"
)
_ANSWER_IS = (
    r"(?:答案|正确的?(?:选项|选择|一项)|最佳(?:选项|选择))[\s*_】\])」』》”\"]*+"
    r"(?:(?:应该?|应当|就|即|也|只能|必然|必定|显然|明显|肯定|最终|无疑|的?选项|的?字母|还是|依然|仍然?)\s?)"
    r"{0,3}"
)
# "the answer is based on the text", "the answer is the option that holds both": no option is named
_DESCRIBED = (
    r"(?:基于|根据|依据|按照?|由|从|通过|经过|在|对|仅|只|同时|包含|包括|能够?|可以|因为|如何|怎|什么|哪|"
    r"这样|这么)"
)
_CHINESE_LEAD = (
    rf"(?:{_ANSWER_IS}(?:(?:是|为|选择?){_SPACE}(?::|(?!{_DESCRIBED}))|[:=])|"
    rf"[【\[][^】\]\n]{{0,6}}(?:答案|正确选项)[^】\]\n]{{0,4}}[】\]]{_SPACE}:?|"
    rf"答案{_SPACE}(?=[(【\[「“\"]\s?[A-Z]\s?[)】\]」”\"]|[A-Z]\s?(?:[。.\n]|\Z)))"
)
# 选C as a conclusion or as a sentence of its own; not 不选C, 误选C or 选项C, nor 选C则矛盾
_CHOSEN = (
    r"(?:(?<![不别没未勿非])(?:故|因此|因而|所以|综上|综上所述|应该?|应当|我们?|本题|此题|该题|这道题|最终|"
    r"最后|只能|答案|可见|于是)[,:]?\s?(?:应该?|应当|可以?|只能|必须|要|就|会|最终|我们?|本题|答案){0,3}|"
    r"(?<![^\s,。;:!?…*>\"“(]))选(?![项手拔举修中出自课购民票])[择定取]?(?:答案|选项)?\s?:?"
    rf"(?={_MARKS}{_LETTER})(?![^\n。,;]{{0,8}},?(?:则|的话|时[,候]|会|就会|导致|不对|不行|错))"
)
# a line that holds nothing else; the answer is on the next one
_HEADING = (
    r"(?m:^)[ \t#*_>【\[]*+(?:(?:(?:the|my|final|correct|best) ){0,2}(?:answer|conclusion)|"
    r"(?:最终|正确|参考|最后)?的?(?:答案|结论))[*_\]】 \t:]{0,8}\n"
)
_LEAD = rf"(?:{_ENGLISH_LEAD}|{_CHINESE_LEAD}|{_CHOSEN}|{_CHOOSING}|{_HEADING})"
# "The answer is A... wait, it is B": the second letter replaces the first
_CORRECTED = (
    rf"{_LEAD}{_MARKS}{_LETTER}[.,;。…!\s\-–—]{{0,6}}"
    r"(?:(?:no|oh|sorry|actually|correction|wait|hold on|不|不对|等等|错了|更正|抱歉)"
    r"[,.。:!\s…]{1,4}){1,3}(?:(?:it|that|the answer)(?:[’']s|\s(?:is|should be|must be))|"
    r"i mean|make that|(?:答案)?(?:应该?|应当)?(?:是|为|选))"
)
# the noun alone, so that the group holds the hedge
_HEDGE = r"(?:could|might|may|can|cannot|can[’']t|depends|lies|is not|isn[’']t|is either)"
_HEDGED = rf"{_NOUN}(?=\s{_HEDGE}(?![A-Za-z]))"
# A base model goes on with a question of its own making. The answer to that one is not read.
_ASKER = r"(?:question|q|problem|human|user|题目|问题|用户)"
_QUESTION = rf"\n\s*+(?:#{{1,6}} )?{_ASKER}\s?\d{{0,3}}\s?(?::|\n)"
_ANOTHER_QUESTION = rf"(?:[^\n]*+(?:{_QUESTION}|\n\s*+<\|?(?:user|im_start)\|?>)[\s\S]*+)?"
# the same after a first line that is a letter
_ANSWERED = rf"\A\s*+{_LETTER}[.\s]{{0,3}}{_QUESTION}[\s\S]*+"

# what any of these begins with, so that most places in a reply are passed at once
_BEGIN = (
    r"(?:(?<![A-Z])(?=[A-Z])|(?=[如若假倘要即是为只当错不他她你您同学之原先答正最参故因所综应我本此该这"
    r"可于选结的有很误容【\[ \t#*_>]))"
)

STATED = (
    rf"(?i:{_ANSWERED}|{_BEGIN}(?:{_IF}{_LEAD}|{_OTHERS}{_LEAD}|(?:{_CORRECTED}|{_LEAD}|{_HEDGED})"
    rf"(?={_MARKS}(?:{_LETTER}(?={_DOUBT}))?+([^\n]+|\n)){_ANOTHER_QUESTION}))"
)

# ---- other forms ---------------------------------------------------------------------------------

BOXED = r"\\boxed\{((?:[^{}]|\{[^{}]*\})*)\}"
# <answer>C</answer>, <final_answer>C
TAGGED = r"(?i:<(?:final[_ ]?|correct[_ ]?)?(?:answer|答案)>)\s*+([^<\n]++)"
# [[C]], as judges are asked to write
DOUBLY_BRACKETED = r"\[\[\s?([A-Z])\s?\]\]"
# {"answer": "C"}
JSON_FIELD = (
    r"(?i:[\"'](?:(?:final|correct|best|selected|chosen|my)[_ -]?(?:answer|option|choice)|answer|"
    r"answer[_ -]?(?:letter|key|choice|option|label)|(?:最终|正确)?答案|正确选项)[\"']"
    r"\s{0,9}:\s{0,9})"
    r"(\"[^\"\n]*\"|'[^'\n]*'|\[[^\]\n]*\]|[^\s,}\n]+)"
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
    r"(?:correct|right|best|most \w{1,20}|appropriate|suitable)\s(?:answer|option|choice)\b)"
)
CALLED_RIGHT_IN_CHINESE = (
    r"(?:(?:如果|若|假设|假如|即使|是否|为什么)[^。!?;,\n]{0,20}?[A-Z](?:选?项)?(?:才?是|为)正确|"
    rf"((?:(?:选项|答案)\s?|{_SENTENCE})[(\"“]?[A-Z][)\"”]?(?:\s?[、,和与及]\s?[A-Z]){{0,9}}\s?(?:选?项)?)\s?"
    r"(?:(?:才|就)?(?:是|为)(?:唯一)?(?:的)?(?:正确|最佳|最合适)的?(?:答案|选项|选择)|(?:最?符合)题意))"
)
# The only judgement in the reply, and its end: "Therefore, option C is correct."
ONLY_JUDGEMENT = (
    r"(?i:\A(?:(?!correct|\btrue\b|\bright\b|wrong|false|正确|错误|对的|不对)[\s\S])*?"
    r"(?:therefore|thus|so|hence|因此|所以|故|综上所述|综上)[,:]?\s?(?:only\s|只有\s?)?"
    r"((?:(?:the\s)?(?:option|choice)|选项)\s?[(\"'“]?[A-Z][)\"'”]?\s?"
    r"(?:is\s(?:the\s)?correct(?:\sone)?|(?:是|为)?正确的?))[.。!]?\s*+\Z)"
)
# The last line: "C", "**C. Paris**", "Therefore, (C)."
LAST_LINE = r"(?m:^)[ \t#>]*+(?P<alone>[^\n]++)(?:\s|`{3})*+\Z"
CONCLUSION = (
    r"(?i:\b(?:so|therefore|thus|hence|consequently|in (?:conclusion|summary|short))|"
    r"因此|所以|综上所述|综上|故)[,:]?\s{0,3}(?=(?P<alone>[^\n]++)(?:\s|`{3})*+\Z)"
)
# The first line, with an explanation below: "C\n\nExplanation: ..."
FIRST_LINE = r"\A\s*+(?P<alone>[^\n]++)\n"
# "B, because A is wrong"
WITH_A_REASON = (
    r"(?i:\A\s*+((?:option |answer )?[A-Z][).]?,? (?:because|since)\b[^\n]*|[A-Z],?因为[^\n]*))"
)

OPEN_PATTERNS = (
    STATED,
    BOXED,
    TAGGED,
    DOUBLY_BRACKETED,
    JSON_FIELD,
    CALLED_RIGHT,
    CALLED_RIGHT_IN_CHINESE,
    ONLY_JUDGEMENT,
    LAST_LINE,
    CONCLUSION,
    FIRST_LINE,
    WITH_A_REASON,
)
