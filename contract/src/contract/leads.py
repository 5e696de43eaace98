"""The words before an answer: "the answer is", "I'd go with", 答案是, 故选.

Parts of `contract.patterns`, in plain spelling.
"""

from __future__ import annotations

SPACE = r"\s{0,3}"
MARKS = r"[\s*_#>]*+"
# a letter by itself, perhaps in brackets
LETTER = r"[(\[{\"'“*_$]{0,3}[A-Z][)\]}\"'”*_$]{0,3}(?![A-Za-z])"

NOUN = (
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
    rf"{NOUN}(?:{MARKS}(?:[:=]|-{{1,2}}>|→)|{_ADVERBS}{SPACE}{_VERB}{_ADVERBS}{SPACE}:?)"
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
    rf"(?:{_ANSWER_IS}(?:(?:是|为|选择?){SPACE}(?::|(?!{_DESCRIBED}))|[:=])|"
    rf"[【\[][^】\]\n]{{0,6}}(?:答案|正确选项)[^】\]\n]{{0,4}}[】\]]{SPACE}:?|"
    rf"答案{SPACE}(?=[(【\[「“\"]\s?[A-Z]\s?[)】\]」”\"]|[A-Z]\s?(?:[。.\n]|\Z)))"
)
# 选C as a conclusion or as a sentence of its own; not 不选C, 误选C or 选项C, nor 选C则矛盾
_CHOSEN = (
    r"(?:(?<![不别没未勿非])(?:故|因此|因而|所以|综上|综上所述|应该?|应当|我们?|本题|此题|该题|这道题|最终|"
    r"最后|只能|答案|可见|于是)[,:]?\s?(?:应该?|应当|可以?|只能|必须|要|就|会|最终|我们?|本题|答案){0,3}|"
    r"(?<![^\s,。;:!?…*>\"“(]))选(?![项手拔举修中出自课购民票])[择定取]?(?:答案|选项)?\s?:?"
    rf"(?={MARKS}{LETTER})(?![^\n。,;]{{0,8}},?(?:则|的话|时[,候]|会|就会|导致|不对|不行|错))"
)
# a line that holds nothing else; the answer is on the next one
_HEADING = (
    r"(?m:^)[ \t#*_>【\[]*+(?:(?:(?:the|my|final|correct|best) ){0,2}(?:answer|conclusion)|"
    r"(?:最终|正确|参考|最后)?的?(?:答案|结论))[*_\]】 \t:]{0,8}\n"
)
LEAD = rf"(?:{_ENGLISH_LEAD}|{_CHINESE_LEAD}|{_CHOSEN}|{_CHOOSING}|{_HEADING})"
# "The answer is A... wait, it is B": the second letter replaces the first
CORRECTED = (
    rf"{LEAD}{MARKS}{LETTER}[.,;。…!\s\-–—]{{0,6}}"
    r"(?:(?:no|oh|sorry|actually|correction|wait|hold on|不|不对|等等|错了|更正|抱歉)"
    r"[,.。:!\s…]{1,4}){1,3}(?:(?:it|that|the answer)(?:[’']s|\s(?:is|should be|must be))|"
    r"i mean|make that|(?:答案)?(?:应该?|应当)?(?:是|为|选))"
)
# "The answer is not A but C": only the second letter is the answer
CONTRASTED = (
    rf"(?:{NOUN}\s?(?:is not|isn[’']t|was not|:\s?not) (?:option )?{LETTER},? but(?: rather)?|"
    rf"(?:答案|正确选项)(?:并?不[是为选]|并?非)\s?{LETTER}\s?,?\s?(?:而[是选应]|应该?[是为选]))"
)
# the noun alone, so that the group holds the hedge
_HEDGE = r"(?:could|might|may|can|cannot|can[’']t|depends|lies|is not|isn[’']t|is either)"
HEDGED = rf"{NOUN}(?=\s{_HEDGE}(?![A-Za-z]))"
