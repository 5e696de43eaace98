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

# "I'm not sure the answer is B", "There is no reason to conclude that the answer is B"
_WORDS = r"(?:(?!(?:so|thus|hence|therefore|but|because|since|and|than)\b)[\w’'()\"]{1,20} )"
_BELIEF = (
    r"(?:that|sure|certain|convinced|confident|clear|true|obvious|likely|possible|the case|"
    r"(?:say|think|believ|conclud|claim|assum|suppos|know|mean|impl|follow|suggest|argu|assert|infer|"
    r"guarante|accept|agree|prov|show|deduc|establish|determin|decid|justif)\w{0,5})"
)
_DISBELIEVED = (
    r"\b(?:(?:not|cannot|never|no|none|nothing|nobody|neither|hardly|scarcely|little|without|"
    r"[a-z]{2,6}n[’']t)(?!\s(?:any\s|a\s)?(?:only|doubt|question|surprise|wonder|deny))|"
    r"false|incorrect|wrong|refuse|decline|hesitate|reluctant|(?<!not )den(?:y|ies|ied)) "
    rf"{_WORDS}{{0,4}}?{_BELIEF} {_WORDS}{{0,3}}?|"
    rf"\b(?:untrue|unlikely|unclear|uncertain|unsure|doubtful) {_WORDS}{{0,3}}?|"
    r"(?:不一定|不见得|未必|并非|难说|怀疑|不太?可能|不是说|谁说|不(?:认为|觉得|相信|同意|赞同|确定|清楚|知道|代表|意味|说明|等于说)|"
    r"(?:不能(?!不)|不可|不应该?|不会|不宜|不足以|不敢|无法|难以|没法|没有?(?:理由|证据|依据|人)|"
    r"无理由)[^。!?;,\n]{0,6}?(?:说|认为|觉得|断|定|得出|推|保证|证明|表明|相信|同意|确认|结论))"
    r"(?:(?!所以|因此|因而|故|但|而|则|于是|应)[^。!?;,\n]){0,8}?"
    r"(?!所以|因此|因而|故|综上|于是|最终|本题)|"
)
# "A common mistake is to say the answer is B", "Some think the answer is B"
_MISTAKE = r"(?:mistake|error|trap|pitfall|misconception|misreading|fallacy|confusion)s?"
_MISTAKEN = (
    rf"\b(?:common|typical|frequent|usual|classic|easy|popular) "
    rf"(?:\w{{1,15}} )?(?:{_MISTAKE}|choice|assumption)"
    rf"\b[^.!?;,\n]{{0,40}}?\b|\b(?:{_MISTAKE} (?:is|was|would be|to|of)|"
    r"wrongly|mistakenly|incorrectly|falsely|tempt(?:ing|ed|ation) to|"
    r"(?:wrong|mistaken|incorrect) to|(?:some|many|most|people|students|readers|others|someone|"
    r"they|he|she)\s(?:\w{1,15}\s){0,3}?"
    r"(?:say|said|think|thought|believe|claim|argue|conclude|assume|insist|answer)s?d?)"
    rf"\b {_WORDS}{{0,6}}?|"
    r"(?:常见|典型)的?(?:错误|误区)[^。!?;\n]{0,8}?|(?:误区|易错点?)(?:是|在于|:)[^。!?;,\n]{0,8}?|"
)
# "Had the premise been reversed, the answer would be B", "On another reading, the answer is B"
_ON = r"(?:(?!\b(?:but|so|yet|however|therefore|thus|hence)\b)[^.!?;\n])"
_SUPPOSED = (
    r"(?:(?<![^\n。])|(?<=[.!?;:,]\s))(?:had|were|should (?:the|it|this|that|we|there))\s"
    rf"{_ON}{{0,100}}?,\s(?!but|so|yet)[^.!?;,\n]{{0,10}}?|"
    rf"\b(?:originally|initially|alternatively|at first(?: glance| sight)?),? {_WORDS}{{0,4}}?|"
    rf"\bin (?:the|an|our|your|my) (?:previous|preceding|other|example)\b{_ON}{{0,30}}?\b|"
    rf"\b(?:if|but for|without|otherwise|in that case)\b{_ON}{{0,80}}?\b"
    r"(?=(?:\w{1,10}\s)?(?:answer|option|choice)\s(?:would|could|might)\b)|"
    r"\b(?:according to|on|under|by|in|with|from|for)\s(?:(?:the|a|an)\s)?(?:first|second|third|"
    r"other|another|one|some|alternative|alternate|different|opposite|former|latter|naive|literal|"
    r"superficial|wrong|incorrect|mistaken|strict|loose|competing|rival)\s(?:\w{1,15}\s)?(?:reading|"
    r"interpretation|view|account|approach|assumption|hypothesis|scenario|theory|school|case|version|"
    rf"people|authors?|critics|sources?)s?\b{_ON}{{0,30}}?\b|"
    r"(?:如果|若|假如|假设|假使|倘若|要是|除非)[^。!?;\n]{0,60}?,(?:正确)?(?=答案就)|"
    r"(?:一开始|起初|最初|否则|反之|换一?[种个]|换作)[^。!?;\n]{0,10}?|"
    r"(?:按照?|根据|依)(?:另一?|其他|第一|第二|前一|后一|错误)[个种项]?的?"
    r"(?:理解|解读|解释|思路|观点|说法|假设)[^。!?;\n]{0,8}?|"
)
_IF = (
    rf"(?:{_DISBELIEVED}{_MISTAKEN}{_SUPPOSED}"
    r"\b(?:if|unless|suppose|supposing|assum(?:e|ing|ed)|imagine|whether|let[’']?s say|"
    r"(?<!no )(?<!any )(?<!a )(?<!without )doubt)"
    r"\b[^.!?;,\n]{0,40}?\b|(?:not|do(?:es)?n[’']t)\s(?:think|believe)\b[^.!?;,\n]{0,40}?\b|"
    r"\bif\b[^.!?;\n]{0,80}?,\sthen\b[^.!?;,\n]{0,10}?\b|"
    r"(?:如果|若|只要|当)[^。!?;\n]{0,60}?(?:那么|则|就)[^。!?;,\n]{0,8}?|"
    r"\b(?:might|could|may|would)\s(?:think|say|argue|assume|be tempted)\b[^.!?;,\n]{0,40}?\b|"
    r"(?:如果|若|假设|假如|假定|假使|倘若|要是|即使|即便|是否|为什么|为何|有人|有些人|很多人|不少人|误以为|"
    r"容易)[^。!?;,\n]{0,12}?)"
)
_OTHERS = (
    r"(?:(?<!only )\b(?:incorrect|wrong|false|your|their|his|her|tempting|initial|original|"
    r"previous|earlier|former|prior|old|first|second|third|next|2nd|other|another|alternat(?:iv)?e|"
    r"weaker|worse|worst|poorer|lesser|inferior|weak|poor|bad|runner[- ]up|backup|back-up|fallback|"
    r"reserve|secondary|substitute|opposite|rejected|discarded|excluded|eliminated|distractor|decoy|"
    r"trap|common|popular|naive|intuitive|possible|plausible|potential|candidate|preliminary|"
    r"provisional|tentative|partial|unlikely|impossible|mistaken|invalid|(?:less|least) \w{1,15}|"
    r"not (?:the|an?)(?: \w{1,15})?|"
    r"(?!(?:question|problem|puzzle|exercise|here|there|that|it|what|let)[’']s)[a-z]{2,20}[’']s?)"
    r"[ -](?:(?:best|final|most likely|correct|right|proposed|suggested|own|good|better) )?|"
    r"(?:错误|不正确|他|她|你|您|同学|学生|考生|作者|老师|小[明红华刚]|别人|对方|"
    r"(?:老师|题库|网上|网友|书上)[^。!?;,\n]{0,4}|例题|示例|样例|修改前|之前|原来|先前|(?<!还)原|旧|备选|备用|候选|次优|次佳|"
    r"次好|次选|第[二三][佳好]?|另一[个种]|另一|其他|其它|别的|易错|干扰|迷惑|替代|被?排除|"
    r"[上前下另][一1]?[道个]?(?:小?题|问题?))的?)"
)
# the answer to another question
_ELSEWHERE = (
    r"\banswers? (?:to|for|of|in|from) (?:(?:the|an?|my|your) )?(?:previous|preceding|prior|"
    r"earlier|last|next|following|other|another|different|similar|opposite|example|sample) "
    r"[^.!?;,\n]{0,30}?(?:\b(?:is|was|are|were|would)\b|:)|"
    r"\banswers? \((?:second|third|next|other|alternat|wrong|incorrect|rejected)[^()\n]{0,30}\)\s?:"
)
# what stands behind the answer in a JSON object explains it
_EXPLAINED_IN_JSON = r"(?<=\")(?:answer|答案)\"\s?:\s?\"[^\"\n]{1,60}\"[^{}]{0,2000}+\}"
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
# "The answer is not A but C": only the second letter is the answer
_CONTRASTED = (
    rf"(?:{_NOUN}\s?(?:is not|isn[’']t|was not|:\s?not) (?:option )?{_LETTER},? but(?: rather)?|"
    rf"(?:答案|正确选项)(?:并?不[是为选]|并?非)\s?{_LETTER}\s?,?\s?(?:而[是选应]|应该?[是为选]))"
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
    r"可于选结的有很误容上前下另备候次第旧作老考其别易干迷替被未难没无并谁常典按根依怀否反换小别例示样修书网题对一起"
    r"【\[ \t#*_>]))"
)

STATED = (
    rf"(?i:{_ANSWERED}|{_BEGIN}(?:{_IF}{_LEAD}|{_OTHERS}{_LEAD}|{_ELSEWHERE}|{_EXPLAINED_IN_JSON}|"
    rf"(?:{_CONTRASTED}|{_CORRECTED}|{_LEAD}|{_HEDGED})"
    rf"(?={_MARKS}(?:{_LETTER}(?={_DOUBT}))?+([^\n]+|\n)){_ANOTHER_QUESTION}))"
)

# ---- other forms ---------------------------------------------------------------------------------

BOXED = (
    r"(?i:\b(?:if|unless|suppos(?:e|ing)|assum(?:e|ing)|had|not|rather than|instead of|n[’']t)\b"
    r"[^.!?;:,\n{}]{0,40}?\\boxed\{)|"
    r"(?:如果|若|假如|假设|倘若|不是|并非|而非|不选)[^。!?;,\n{}]{0,12}?\\boxed\{|"
    r"\\boxed\{((?:[^{}]|\{[^{}]*\})*)\}"
)
# <answer>C</answer>, <final_answer>C
TAGGED = r"(?i:<(?:final[_ ]?|correct[_ ]?)?(?:answer|答案)>)\s*+([^<\n]++)"
# [[C]], as judges are asked to write
DOUBLY_BRACKETED = r"\[\[\s?([A-Z])\s?\]\]"
# {"answer": "C"}; what is nested behind it in the same object is not read
JSON_FIELD = (
    r"(?i:[\"'](?:(?:final|correct|best|selected|chosen|my)[_ -]?(?:answer|option|choice)|answer|"
    r"answer[_ -]?(?:letter|key|choice|option|label)|(?:最终|正确)?答案|正确选项)[\"']"
    r"\s{0,9}:\s{0,9})"
    r"(\"[^\"\n]*\"|'[^'\n]*'|\[[^\]\n]*\]|[^\s,}\n]+)"
    r"(?:[^{}]{0,1000}+\{(?:[^{}]|\{[^{}]{0,1000}+\}){0,1000}+\})*+"
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
    r"(?:correct|right|best|most \w{1,20}|appropriate|suitable)\s(?:answer|option|choice)\b"
    r"(?!\s(?:only|if|when|unless|provided|assuming|just)\b))"
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
