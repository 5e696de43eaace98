"""Statements that give no answer: a case that is tried, an opinion of others, the answer of an
earlier time or to another question, a mistake that people make.

Parts of `contract.patterns`, in plain spelling. What stands in one of them before the words of an
answer keeps that answer from being read.
"""

from __future__ import annotations

from contract.leads import CHINESE, ENGLISH, LETTER, NOUN

# "I'm not sure the answer is B", "There is no reason to conclude that the answer is B"
_WORDS = r"(?:(?!(?:so|thus|hence|therefore|but|because|since|and|than)\b)[\w’'()\"]{1,20} )"
_BELIEF = (
    r"(?:that|sure|certain|convinced|confident|clear|true|obvious|likely|possible|the case|"
    r"(?:say|think|believ|conclud|claim|assum|suppos|know|mean|impl|follow|suggest|argu|assert|"
    r"infer|"
    r"guarante|accept|agree|prov|show|deduc|establish|determin|decid|justif)\w{0,5})"
)
_DISBELIEVED = (
    r"\b(?:(?:not|cannot|never|no|none|nothing|nobody|neither|hardly|scarcely|little|without|"
    r"[a-z]{2,6}n[’']t)(?!\s(?:any\s|a\s)?(?:only|doubt|question|surprise|wonder|deny))|"
    r"false|incorrect|wrong|refuse|decline|hesitate|reluctant|(?<!not )den(?:y|ies|ied)) "
    rf"{_WORDS}{{0,4}}?{_BELIEF} {_WORDS}{{0,3}}?|"
    rf"\b(?:untrue|unlikely|unclear|uncertain|unsure|doubtful) {_WORDS}{{0,3}}?|"
)
_DISBELIEVED_IN_CHINESE = (
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
)
_MISTAKEN_IN_CHINESE = (
    r"(?:常见|典型)的?(?:错误|误区)[^。!?;\n]{0,8}?|(?:误区|易错点?)(?:是|在于|:)[^。!?;,\n]{0,8}?|"
)
# "Tom says the answer is B", "I thought the answer was B", "According to Tom, the answer is B"; not
# "The text says that the answer is C"
_SAID = (
    r"(?=[abcdgirst])(?<!text )(?<!passage )(?<!paragraph )(?<!evidence )(?<!analysis )"
    r"(?<!logic )(?<!rule )\b(?:says|thinks|believes|claims|argues|insists)\b"
    rf"(?:\s(?:that\s)?|\s?:\s?)[\"“]?{_WORDS}{{0,2}}?|"
    r"(?=[abcgirst])(?<!text )(?<!passage )(?<!paragraph )(?<!be )(?<!final )"
    r"(?<!second )\b(?:said|thought|"
    r"believed|"
    r"claimed|argued|insisted|replied|answered|guessed)\b"
    rf"(?:\s(?:that\s)?|(?<!thought)\s?:\s?)[\"“]?{_WORDS}{{0,2}}?|"
    r"\baccording to (?:(?-i:[A-Z])(?!\w*[’'])[\w-]{1,20}|(?:the|my|our|a|an) (?:(?:text)?book|"
    r"teacher|"
    r"internet|forum|web|key|student|user|friend|colleague|other \w{1,12}))"
    rf"(?: (?-i:[A-Z])[\w-]{{1,20}})?,\s{_WORDS}{{0,2}}?|"
)
# "Previously, the answer was B", "Last year the answer was B", "In my first attempt I chose B"; not
# "As shown previously, the answer is C"
_BEFORE = (
    r"(?=[abdefiloptuy])(?:(?<![^\n。(])|(?<=[.!?;:,]\s)|(?<=but\s))(?:previously|formerly|earlier|"
    r"before|"
    r"once(?! again)|in the past|"
    r"(?:up )?(?:to|until) (?:now|then|today)|(?:last|the other) (?:time|year|week|month|day|"
    r"night)|"
    r"yesterday|back then|at (?:the|that) time|at the (?:start|beginning|outset)|first|"
    r"(?:in|on|during) (?:my|the|an?|our) (?:\w{1,10} )?(?:first|previous|earlier|initial|last|old|"
    r"original) (?:attempt|try|answer|reply|response|message|draft|version|edition)|"
    r"for (?:years|a long time))\b"
    rf",? {_WORDS}{{0,4}}?|"
)
_BEFORE_IN_CHINESE = (
    r"(?=[之此以先原早起刚方上第首头最曾过去当本往旧开])(?:之前|此前|以前|先前|原先|早先|起先|刚才|刚刚|方才|上一?[次回]|(?:第一|首|头)[次遍回]|最早|曾经?|"
    r"过去|去年|当初|本来|原本|以往|往年|旧版|开始时?)"
    r"(?:(?!分析|推理|推导|讨论|证明|表明|可知|所述|条件|信息|材料|已|排除|所以|因此|故|但|而|则|于是|"
    r"现在|应)[^。!?;,\n]){0,10}?|"
)
_SAID_THERE = (
    r"(?:的(?:回答|看法|观点|意见|结论)?|"
    r"(?:就|也|却|都|则|曾)?(?:说|认为|觉得|以为|声称|坚持|回答|主张|猜)(?:的|了)?)[是:,]?|"
)
_NAME_SAID = rf"(?-i:[A-Z])[A-Za-z][\w-]{{1,15}}{_SAID_THERE}"
_SAID_IN_CHINESE = (
    r"(?=[小老同网作专学考别大对他她其模])(?:小[\u4e00-\u9fff]|老师|同[学桌]|网友|作者|专家|学生|考生|别人|大家|对方|他们?|她们?|其他人|"
    rf"模型[一二三1-9A-Z]?){_SAID_THERE}"
    r"(?:其[他它]|别的|另外?的?)(?:模型|人|同学|学生|资料|解法|方法|版本|软件|老师|网站)"
    r"[^。!?;,\n]{0,6}?|"
)
# "Had the premise been reversed, the answer would be B", "On another reading, the answer is B"
_ON = r"(?:(?!\b(?:but|so|yet|however|therefore|thus|hence)\b)[^.!?;\n])"
_SUPPOSED = (
    r"(?=[hws])(?:(?<![^\n。])|(?<=[.!?;:,]\s))(?:had|were|should (?:the|it|this|that|we|there))\s"
    rf"{_ON}{{0,100}}?,\s(?!but|so|yet)[^.!?;,\n]{{0,10}}?|"
    rf"\b(?:originally|initially|alternatively|at first(?: glance| sight)?),? {_WORDS}{{0,4}}?|"
    rf"\bin (?:the|an|our|your|my) (?:previous|preceding|other|example)\b{_ON}{{0,30}}?\b|"
    rf"\botherwise,? {_WORDS}{{0,2}}?|"
    r"\b(?:if|when)\b[^.!?;\n]{0,80}?,\s[^.!?;,\n]{0,10}?"
    r"(?=[^.!?;\n]{1,80}[.;,]\s(?:otherwise|else|if not)\b)|"
    rf"\b(?:if|but for|without|otherwise|in that case)\b{_ON}{{0,80}}?\b"
    r"(?=(?:\w{1,10}\s)?(?:answer|option|choice)\s(?:would|could|might)\b)|"
    r"\b(?:according to|on|under|by|in|with|from|for)\s(?:(?:the|a|an)\s)?(?:first|second|third|"
    r"other|another|one|some|alternative|alternate|different|opposite|former|latter|naive|literal|"
    r"superficial|wrong|incorrect|mistaken|strict|loose|competing|"
    r"rival)\s(?:\w{1,15}\s)?(?:reading|"
    r"interpretation|view|account|approach|assumption|hypothesis|scenario|theory|school|case|"
    r"version|"
    rf"people|authors?|critics|sources?)s?\b{_ON}{{0,30}}?\b|"
)
_SUPPOSED_IN_CHINESE = (
    r"(?:如果|若|假如|假设|假使|倘若|要是|除非)[^。!?;\n]{0,60}?,(?:正确)?(?=答案就)|"
    r"(?:一开始|起初|最初|否则|反之|换一?[种个]|换作)[^。!?;\n]{0,10}?|"
    r"(?:按照?|根据|依)(?:另一?|其他|第一|第二|前一|后一|错误)[个种项]?的?"
    r"(?:理解|解读|解释|思路|观点|说法|假设)[^。!?;\n]{0,8}?|"
)
_IN_ENGLISH = (
    rf"(?:{_DISBELIEVED}{_MISTAKEN}{_SAID}{_NAME_SAID}{_BEFORE}{_SUPPOSED}"
    r"\b(?:if|unless|suppose|supposing|assum(?:e|ing|ed)|imagine|whether|let[’']?s say|"
    r"(?<!no )(?<!any )(?<!a )(?<!without )doubt)"
    r"\b[^.!?;,\n]{0,40}?\b|(?:not|do(?:es)?n[’']t)\s(?:think|believe)\b[^.!?;,\n]{0,40}?\b|"
    r"\bif\b[^.!?;\n]{0,80}?,\sthen\b[^.!?;,\n]{0,10}?\b|"
    r"\b(?:might|could|may|would)\s(?:think|say|argue|assume|be tempted)\b[^.!?;,\n]{0,40}?\b)"
)
_IN_CHINESE = (
    rf"(?:{_DISBELIEVED_IN_CHINESE}{_MISTAKEN_IN_CHINESE}{_BEFORE_IN_CHINESE}{_SAID_IN_CHINESE}"
    rf"{_SUPPOSED_IN_CHINESE}"
    r"(?:如果|若|只要|当)[^。!?;\n]{0,60}?(?:那么|则|就)[^。!?;,\n]{0,8}?|"
    r"(?:如果|若|假设|假如|假定|假使|倘若|要是|即使|即便|是否|为什么|为何|有人|有些人|很多人|不少人|误以为|"
    r"容易)[^。!?;,\n]{0,12}?)"
)
IF = rf"(?:{ENGLISH}{_IN_ENGLISH}|{CHINESE}{_IN_CHINESE})"
_OTHERS = (
    r"(?:(?<!only )\b(?:incorrect|wrong|false|your|their|his|her|tempting|initial|original|"
    r"previous|earlier|former|prior|old|first|second|third|next|2nd|other|another|alternat(?:iv)?e|"
    r"weaker|worse|worst|poorer|lesser|inferior|weak|poor|bad|runner[- ]up|backup|back-up|fallback|"
    r"student|user|human|pupil|reader|reviewer|annotator|friend|colleague|"
    r"reserve|secondary|substitute|opposite|rejected|discarded|excluded|eliminated|distractor|"
    r"decoy|"
    r"trap|common|popular|naive|intuitive|possible|plausible|potential|candidate|preliminary|"
    r"provisional|tentative|partial|unlikely|impossible|mistaken|invalid|(?:less|least) \w{1,15}|"
    r"not (?:the|an?)(?: \w{1,15})?|"
    r"(?!(?:question|problem|puzzle|exercise|here|there|that|it|what|let)[’']s)[a-z]{2,20}[’']s?)"
    r"[ -](?:(?:best|final|most likely|correct|right|proposed|suggested|own|good|better) )?)"
)
_OTHERS_IN_CHINESE = (
    r"(?:错误|不正确|他|她|你|您|同学|学生|考生|作者|老师|小[明红华刚]|别人|对方|"
    r"(?:老师|题库|网上|网友|书上)[^。!?;,\n]{0,4}|例题|示例|样例|修改前|之前|原来|先前|(?<!还)原|旧|备选|备用|候选|次优|次佳|"
    r"次好|次选|第[二三][佳好]?|另一[个种]|另一|其他|其它|别的|易错|干扰|迷惑|替代|被?排除|"
    r"[上前下另][一1]?[道个]?(?:小?题|问题?))的?"
)
OTHERS = rf"(?:{ENGLISH}{_OTHERS}|{CHINESE}{_OTHERS_IN_CHINESE})"
# the answer to another question
ELSEWHERE = (
    r"\banswers? (?:to|for|of|in|from) (?:(?:the|an?|my|your) )?(?:previous|preceding|prior|"
    r"earlier|last|next|following|other|another|different|similar|opposite|example|sample) "
    r"[^.!?;,\n]{0,30}?(?:\b(?:is|was|are|were|would)\b|:)|"
    r"\banswers? \((?:second|third|next|other|alternat|wrong|incorrect|rejected)[^()\n]{0,30}\)\s?:"
)
# "The answer was B in the first draft", "I chose B at first", "The answer was previously B"
PASSED = (
    rf"{NOUN}\s(?:is|was|were)\s(?:previously|originally|initially|formerly|once|at first)\b|"
    r"(?:\banswer\s(?:is|was)|\bi (?:had )?(?:chose|chosen|picked|selected|went with|said))\s"
    rf"(?:option )?{LETTER},?\s(?:the first time|at first\b|originally|initially|previously|"
    rf"earlier|"
    r"yesterday|before(?:[.,;]|\Z)|(?:in|on) (?:the|my|an?) (?:\w{1,10} )?(?:first|previous|"
    r"earlier|"
    r"initial|old|original) (?:attempt|try|answer|reply|response|draft|version|edition)|last time)"
)
# what stands behind the answer in a JSON object explains it
EXPLAINED_IN_JSON = r"(?<=\")(?:answer|答案)\"\s?:\s?\"[^\"\n]{1,60}\"[^{}]{0,2000}+\}"
# after a letter: the writer stops to think again
_STOP = (
    r"wait|hold on|oops|whoops|on second thou?ghts?|等等|等一下|且慢|不对[,。!?]|"
    r"(?:this|that|it|which) (?:can[’']?t|cannot|does(?:n[’']t| not)|is(?:n[’']t| not| wrong|"
    r" incorrect)|"
    r"contradicts|conflicts|violates|fails|would contradict|leads to a contradiction)"
)
DOUBT = (
    r"(?:\s{0,3}\?|[.,;。…!\s\-–—]{0,8}"
    r"(?:(?:but|however|yet|hmm+|oh|um+|ah|actually|但是?|不过|然而|可是|哦|呃|嗯)[,.。\s]{0,4}){0,3}"
    rf"(?:{_STOP})|[.,;。\s]{{0,3}}(?:但是?|不过|然而|可是),?(?:(?:这样?|它|该[选答][项案]|此[选答][项案])?"
    r"[会就]?(?:显然)?(?:[与和同][^。!?;,\n]{1,10}?(?:矛盾|冲突|不符|不一致)|不(?:成立|对|符合|可能|正确)|有矛盾)|"
    r"(?:也|还)(?:有)?可能))"
)
