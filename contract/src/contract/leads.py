"""The words before an answer: "the answer is", "I'd go with", 答案是, 故选.

Parts of `contract.patterns`, in plain spelling.
"""

from __future__ import annotations

# what a text begins with: asked first, since one language's patterns are half of all
ENGLISH, CHINESE = r"(?=[A-Za-z])", r"(?=[^\x00-\x7f])"
SPACE = r"\s{0,3}"
MARKS = r"(?:[\s*_#>]|<(?:b|i|u|p)>(?=[^<\n]{1,80}</))*+"
# a letter by itself, perhaps in brackets
LETTER = r"[(\[{\"'“*_$]{0,3}[A-Z][)\]}\"'”*_$]{0,3}(?![A-Za-z])"

NOUN = (
    r"(?<![A-Za-z])(?:answers?|(?:correct|right|best|final|chosen|selected|appropriate|suitable|my|"
    r"most (?!common|popular|frequent|tempting|obvious)\w{3,15})[\s_](?:option|choice|response|"
    r"letter|"
    r"alternative|pick|selection|guess|statement|fit|match|one)|"
    r"(?:answer|option|choice|one) that (?:best )?(?:fits|matches|works|applies|holds|is correct))"
    r"(?![A-Za-z])"
    r"(?:\s(?:choice|option|letter|key))?"
    r"(?:\s(?:to|for|of)\s(?:this|the|that)\s(?:\w{1,20}\s)?(?:question|problem|puzzle|scenario))?"
    r"(?:\s?\([^()\n]{1,40}\)(?=\s?:))?"
)
_ADVERBS = (
    r"(?:,?\s{1,2}(?:therefore|thus|then|hence|clearly|indeed|most likely|likely|probably|"
    r"definitely|certainly|obviously|simply|still|actually|now|here|in fact|of course|"
    r"without (?:a )?doubt)\b,?){0,2}"
)
_VERB = (
    r"(?:is|are|was|remains|becomes|(?:should|must|would|will|has to|needs to|seems to|appears to|"
    r"turns out to|would have to|can only|could only)(?: then)? be)\b"
)
_ENGLISH_LEAD = (
    rf"{NOUN}(?:{MARKS}(?:[:=]|-{{1,2}}>|→|[-–—]{{1,2}}(?=\s?{LETTER}))|"
    rf"{_ADVERBS}{SPACE}{_VERB}{_ADVERBS}{SPACE}(?:(?:clear|obvious|simple)\s?(?=:)|"
    rf"\.{{3}}(?=\s))?:?"
    rf"(?:\sit(?:[’']s|\sis)(?=\s{LETTER}[.!]))?|"
    rf"\?\s(?:it(?:[’']s|\sis)\s)?(?={LETTER}[.!]))"
)
_CHOOSING = (
    r"(?:\bI(?:[’'](?:d|ll|m)|\s(?:would|will|must|have to|am))?\s(?:(?:therefore|thus|would)\s)?"
    r"(?:choose|chose|pick|select|go(?:ing)? with|opt(?:ing)? for|went with|vote for)\b|"
    r"\bI(?:[’'](?:d|ll)|\s(?:would|will)) (?:say|answer)"
    r"(?=\s(?:option )?[(\"]?[A-Z][)\"]?(?:[.!]|\Z))|"
    # "we choose A for the first seat" is a step of the reasoning
    r"\bwe\s(?:will )?(?:choose|pick|select)(?=\s(?:the )?(?:option|choice|answer)\b|\s\([A-Z]\))|"
    r"\blet[’']?s go with\b)"
)
_ANSWER_IS = (
    r"(?:答案|正确的?(?:选项|选择|一项)|最佳(?:选项|选择)|(?:我|最终)的?选择|"
    r"最(?:合适|恰当|合理|准确|可能|符合题意|符合)的?(?:选项|一项))[\s*_】\])」』》”\"]*+"
    r"(?:(?:应该?|应当|就|即|也|便|自然|当然|毫无疑问|可以?确定|只能|必然|必定|显然|明显|肯定|最终|无疑|的?选项|的?字母|还是|依然|仍然?)\s?)"
    r"{0,3}"
)
# "the answer is based on the text", "the answer is the option that holds both": no option is named
_DESCRIBED = (
    r"(?:基于|根据|依据|按照?|由|从|通过|经过|在|对|仅|只|同时|包含|包括|能够?|可以|因为|如何|怎|什么|哪|"
    r"这样|这么)"
)
_CHINESE_LEAD = (
    rf"(?:{_ANSWER_IS}(?:(?:是|为|选择?){SPACE}(?::|(?!{_DESCRIBED}))|[:=]|"
    rf"(?:乃|[-—]{{1,2}}>?|→)(?=\s?{LETTER}))|"
    # not "下列说法正确的是", which may be the question
    r"(?<![不没])(?:正确|符合(?:题意|题目要求|要求|条件))的(?:选项|一项)?(?:应该?|只有)?[是为]\s?"
    r"(?=[*_(“\"]{0,3}[A-Z][)*_”\"]{0,3}(?:选?项)?[。.!,;])|"
    rf"[【\[][^】\]\n]{{0,6}}(?:答案|正确选项)[^】\]\n]{{0,4}}[】\]]{SPACE}:?|"
    rf"答案{SPACE}(?=[(【\[「“\"]\s?[A-Z]\s?[)】\]」”\"]|[A-Z]\s?(?:[。.\n]|\Z)))"
)
# 选C as a conclusion or as a sentence of its own; not 不选C, 误选C or 选项C, nor 选C则矛盾
_CHOSEN = (
    r"(?:(?<![不别没未勿非])(?:故|因此|因而|所以|综上|综上所述|应该?|应当|我们?|本题|此题|该题|这道?题|单选题|最终|那就|的?把握|"
    r"(?<![^\s,。;:!?])(?:就|必须?)|"
    r"最后|只能|答案|可见|于是)[,:]?\s?(?:应该?|应当|可以?|只能|必须|要|就|会|最终|我们?|本题|答案){0,3}|"
    r"(?<![^\s,。;:!?…*>\"“(]))选(?![项手拔举修中出自课购民票])[择定取]?(?:答案|选项)?\s?:?"
    rf"(?={MARKS}{LETTER})(?![^\n。,;]{{0,8}},?(?:则|的话|时[,候]|会|就会|导致|不对|不行|错))"
)
# a line that holds nothing else; the answer is on the next one
_HEADING = (
    r"(?m:^)[ \t#*_>【\[]*+(?:(?:(?:the|my|final|correct|best) ){0,2}(?:answer|conclusion)|"
    r"(?:最终|正确|参考|最后)?的?(?:答案|结论))[*_\]】 \t:]{0,8}\n"
)
# "Ans: C", "Conclusion: C" in a line that holds nothing else
_TITLE = (
    r"(?m:^)[ \t#*_>【\[]*+(?:ans|solution|conclusion|correction|response|result|final|"
    r"assistant|"
    rf"ai|答|解|结论|更正)[*_\]】]*\s?[.:](?={MARKS}{LETTER}(?:[.:)]|[^\w\n]*(?m:$)))"
)
LEAD = (
    rf"(?:{ENGLISH}(?:{_ENGLISH_LEAD}|{_CHOOSING})|(?=[^\x00-\x5a\x5c-\x7f])(?:{_CHINESE_LEAD}|"
    rf"{_CHOSEN})|"
    rf"{_HEADING}|{_TITLE})"
)
# "The answer is A... wait, it is B": the second letter replaces the first
CORRECTED = (
    rf"{LEAD}{MARKS}{LETTER}[.,;。…!\s\-–—]{{0,6}}"
    r"(?:(?:no|oh|w?oops|sorry|actually|correction|wait|hold on|on second thou?ghts?|"
    r"that (?:was|is) (?:wrong|a (?:mistake|typo))|i (?:made a (?:mistake|typo)|"
    r"misread \w{1,10} \w{1,12})|"
    r"[哦啊]?不对?|等等|我?[算看写说弄]?错了|更正|抱歉)"
    r"[,.;。:!\s…]{1,4}){1,4}(?:(?:it|that|the answer)(?:[’']s|\s(?:is|should (?:be|have been)|"
    r"must be))|"
    r"i mean|make that|(?:答案)?(?:应该?|应当)?(?:是|为|选))"
)
# "The answer is not A but C": only the second letter is the answer
CONTRASTED = (
    rf"(?:{NOUN}\s?(?:is not|isn[’']t|was not|:\s?not) (?:option )?{LETTER}(?:,? but(?: rather)?|"
    r"[.;,]\s(?:it|the answer)(?:[’']s|\sis))|"
    rf"(?:答案|正确选项)(?:并?不[是为选]|并?非)\s?{LETTER}\s?[,;。]?\s?(?:而[是选应]|应该?[是为选]|是))"
)
# the noun alone, so that the group holds the hedge
_HEDGE = r"(?:could|might|may|can|cannot|can[’']t|depends|lies|is not|isn[’']t|is either)"
HEDGED = rf"{NOUN}(?=\s{_HEDGE}(?![A-Za-z]))"
