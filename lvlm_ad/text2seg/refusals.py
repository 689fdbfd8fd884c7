"""Distinguish an answer that declines the question from one that finds no defect.

"I cannot analyze images" is a refusal, "I cannot see any defect" is an answer. ``_LANGUAGES`` lists for each language
how a model says that it cannot do something; the verb nearest to "cannot" decides. English has its own patterns, since
it has too many forms for this table.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

_BEGINNING = 4000
"""How many characters are searched for a refusal; refusals stand at the beginning."""


class _Language(NamedTuple):
    """Regular expressions, in lower case and without accents, for what stands in a refusal."""

    cannot: str  # says that the model itself cannot, will not or may not
    do: str  # verbs of what a question asks for: with "cannot" they decline
    see: str  # verbs that decline only if their object is a picture and not a defect
    picture: str
    defect: str
    sorry: str  # with these, "cannot" declines without a verb too
    verb_first: bool = False  # "analyze cannot"


_LANGUAGES = {
    "German": _Language(
        cannot=r"\b(?:(?:ich|wir)\b(?: \w+)? (?:kann|konnen|darf|durfen|werde|mochte)"
        r"|(?:kann|konnen|darf|werde|mochte) (?:ich|wir)|sprachmodell und kann)\b"
        r"[^.!?,\n]{0,80}?\b(?:nicht|keine?[mnrs]?)\b"
        r"|\b(?:nicht in der lage|(?:nicht |un)moglich|ausserstande)\b,?"
        r"|\b(?:ich|wir) (?:muss|mussen|mochte)\b(?=[^.!?,\n]{0,80}ab(?:zu)?lehn)"
        r"|\b(?:habe ich|ich habe) keine(?:n zugriff| moglichkeit| berechtigung)",
        do="helf|hilfe|unterstutz|analys|beurteil|bewert|verarbeit|bearbeit|pruf|antwort|erfull|inspizier|liefer|offn"
        r"|(?:nach(?:zu)?komm|an(?:zu)?geb|ab(?:zu)?geb|bereit(?:zu)?stell|vor(?:zu)?nehm|ein(?:zu)?schatz|aus(?:zu)?wert"
        r"|an(?:zu)?seh|zu(?:zu)?greif|durch(?:zu)?fuhr|ab(?:zu)?lehn)|machen|\btun\b|aussage|auskunft",
        see="sehen|erkenn|finden|identifizier|entdeck|feststell|ausmach|bemerk",
        picture=r"\bbild|foto|aufnahme|datei|anhang",
        defect=r"defekt|fehler|anomal|kratzer|mangel|schaden|auffallig|abweich|beschadig|\briss|unregelmass|ungewohn|problem",
        sorry="leid|entschuldig|leider|bedau|ablehn|zugriff|moglichkeit|berechtigung",
    ),
    "Spanish": _Language(
        cannot=r"\bno (?:(?:te|le|les|lo|la|se) )?(?:puedo|podemos|podre|podria|me es posible|soy capaz"
        r"|estoy (?:en condiciones|capacitad|autorizad)|tengo (?:la )?(?:capacidad|habilidad|acceso|permiso))"
        r"|\b(?:debo|tengo que|prefiero) (?:declinar|rechazar|negarme)|\bme niego\b|\bme (?:es|resulta) imposible",
        do=r"ayud|asisti|analiz|evalu|procesar|proporcion|ofrec|respond|cumpl|realiz|inspeccion|hacer|atend|continu"
        r"|acced|\bdar|calific|puntu|complet|interpret|juzg|coment|acceso|declin|rechaz",
        see=r"\bver\b|\bverl|identific|detect|encontr|observ|apreci|distingu|visualiz|determin",
        picture="imagen|foto|archivo|adjunt",
        defect="defect|anomal|fallo|dano|rasguno|rayon|grieta|imperfec|irregular|problema|raro|inusual|extran",
        sorry="siento|lamento|disculp|perdon|desgracia|niego|declin|rechaz|acceso",
    ),
    "French": _Language(
        cannot=r"\b(?:ne|n') ?(?:(?:vous|te|les|le|la|l'|y) ?)?(?:peux|pouvons|puis|pourrai|saurais|m'est pas possible"
        r"|suis pas (?:en mesure|capable|autoris|habilit)|sommes pas en mesure"
        r"|ai (?:pas|aucun) (?:acces|la (?:capacite|possibilite)|le droit))|\bsuis (?:incapable|dans l'impossibilite)"
        r"|\bm'est impossible|\b(?:dois|prefere) (?:decliner|refuser)|\bje (?:refuse|decline)\b",
        do="aider|assist|analys|evalu|trait|fourni|repond|acced|acces|effectu|inspect|faire|donner|noter|interpret"
        "|examin|juger|satisfai|continu|comment|declin|refus|realis",
        see=r"\bvoir\b|identifi|detect|trouv|observ|reper|distingu|visualis|constat|determin",
        picture="image|photo|fichier|piece jointe",
        defect="defaut|anomal|anormal|defectu|rayure|dommage|fissure|irregularit|probleme|inhabituel",
        sorry="desole|regrette|malheureusement|excus|declin|refus|acces",
    ),
    "Italian": _Language(
        cannot=r"\bnon (?:(?:ti|le|vi|lo|la) )?(?:posso|possiamo|potro|riesco|sono (?:in grado|capace|autorizzat)"
        r"|mi e possibile|ho (?:accesso|la (?:capacita|possibilita)))|\bdevo (?:rifiutare|declinare)"
        r"|\bmi e impossibile|\bmi rifiuto",
        do="aiut|assist|analizz|valut|elabor|forni|rispond|esegui|ispezion|fare|farlo|dare|interpret|esamin|giudic"
        "|soddisf|continu|accesso|acced|rifiut|declin",
        see=r"\bveder|identific|rilev|trov|individu|osserv|riscontr|notar|determin|visualizz",
        picture="immagin|foto|file|allegat",
        defect=r"difett|anomal|graffi|\bdann|crep|irregolarit|problem|insolit|stran[oe]",
        sorry="spiace|scus|purtroppo|rifiut|declin|accesso",
    ),
    "Portuguese": _Language(
        cannot=r"\bnao (?:(?:te|lhe|o|a) )?(?:posso|podemos|consigo|conseguimos|poderei|sou capaz|me e possivel"
        r"|estou (?:apt|autorizad)|tenho (?:a )?(?:acesso|capacidade|permissao|possibilidade))"
        r"|\b(?:devo|preciso) recusar|\bme recuso",
        do=r"ajud|auxili|analis|avali|process|fornec|respond|realiz|inspecion|fazer|\bdar\b|atend|interpret|examin|julg"
        "|continu|acess|recus",
        see=r"\bver\b|\bve-l|identific|detect|encontr|observ|perceb|visualiz|notar|determin",
        picture="image|foto|arquivo|anexo",
        defect=r"defeito|anomal|falha|\bdano|arranh|\brisco|trinca|irregular|problema|estranh|incomum",
        sorry="lamento|desculp|sinto|infelizmente|recus|acesso",
    ),
    "Chinese": _Language(
        # If a part of the product cannot do something, its name stands before "cannot".
        cannot="(?:^|[^一-鿿]|我们?|我們|模型|助手|目前|暂时|暫時|现在|現在|还|還|也|都|所以|因此|恐怕|实在|實在|抱歉)"
        "(?:无法|無法|不能|不可以|没有?办法|沒有?辦法|不会|不便|不支持|不具备|不具備|没有能力|不被允许|拒绝|拒絕|没法|做不到|(?=看不[到见清見]))",
        do="分析|评估|評估|帮|幫|协助|協助|提供|处理|處理|回答|满足|滿足|判断|判斷|检查|檢查|解读|解析|完成|访问|执行|執行|评分|評分|打分"
        "|继续|繼續|打开|给出|給出|回应|回應|讨论|解释|这样做|请求|請求|要求|能力|进行|進行",
        see="看|识别|識別|发现|發現|检测|檢測|找到|辨认|察觉|观察|觀察|确认|確認|确定|確定",
        picture="图|圖|照片|影像|文件|附件",
        defect="缺陷|异|異常|瑕疵|划痕|劃痕|损|損|裂|问题|毛病|不良|不正常|奇怪",
        sorry="抱歉|对不起|對不起|遗憾|遺憾|不好意思|拒绝|拒絕",
    ),
    "Japanese": _Language(
        cannot="できません|できない|出来ません|出来ない|できかね|しかね|わかりかね|不可能|られません|えません|お断り"
        "|(?:対応して|許可されて|持って|備えて)(?:おり|い)ません|(?<=(?:能力|機能|権限)[はが])ありません",
        do="分析|解析|評価|支援|手伝|答え|回答|提供|処理|対応|判断|判定|検査|解釈|サポート|アクセス|応え|応じ|実行|採点|診断|閲覧|表示|開"
        "|お役に|コメント|説明|能力|機能|権限",
        see="見|検出|認識|発見|特定|識別|確認|検知",
        picture="画像|写真|イメージ|ファイル|添付",
        defect="欠陥|異|傷|キズ|不良|ひび|汚れ|問題|不具合|おかし",
        sorry="申し訳|すみません|ごめん|恐れ入り|残念|お断り",
        verb_first=True,
    ),
    "Korean": _Language(
        cannot="수(?:가|는)? ?없|못 ?합니다|못해|불가능|어렵습니다|거절|(?:지원|제공|허용)(?:하지|되지) 않"
        "|(?:능력|권한)이 없",
        do="분석|평가|도와|도움|도울|제공|처리|답변|대답|응답|판단|검사|해석|수행|접근|지원|열람|채점|진행|응할|요청|드릴|능력|권한|거절",
        see="보|볼|찾|발견|감지|검출|식별|확인|인식",
        picture="이미지|사진|그림|파일|첨부",
        defect="결함|이상|불량|손상|흠집|균열|문제|하자",
        sorry="죄송|미안|유감|아쉽|거절",
        verb_first=True,
    ),
}


_WHO = r"(?:^ ?|[.!?] |\b(?:i|we|model|assistant|ai)\b ?|\b(?:sorry|unfortunately|apologies)[,:]? )"
_CANNOT = (
    r"(?:can't|cannot|can not|could not|couldn't|won't|will not|am unable to|'m unable to|unable to|am not able to|"
    r"'m not able to|not able to|must decline to|have to decline to|decline to|am not (?:allowed|permitted) to|"
    r"'m not (?:allowed|permitted|comfortable)(?: to)?|don't feel comfortable|do not feel comfortable)"
)
_FLAWS = "defects|anomalies|abnormalities|irregularities|flaws|damage|scratches|cracks|issues|problems"
_ANY = f"(?:any|anything|an?|no|obvious|visible|clear|signs?|other|further|{_FLAWS})"
_DO = (
    r"(?:assist|help|analy[sz]e|analy[sz]ing|provide|providing|process|view|examine|evaluate|comply|fulfil|fulfill|"
    r"answer|do (?:that|this|so)|continue|support|determine|assess|inspect|access|interpret|perform|complete|give|rate|"
    r"score|comment|offer|engage|discuss|open|directly|see (?:the |this |that |your )?(?:image|picture|photo|attach)|"
    rf"(?:see|identify|detect|find|look at|tell|make)(?! *{_ANY}\b))"
)
_ENGLISH_REFUSAL = re.compile(
    rf"{_WHO}{_CANNOT} (?:be able to )?(?:[a-z]+ ){{0,2}}?{_DO}\b"
    r"|\b(?:i|we) (?:must |have to |respectfully )*(?:decline|refuse)\b"
    r"|\b(?:i|we) (?:do not|don't) have (?:the )?(?:ability|capability|capacity|access|permission|any way)\b"
    r"|\b(?:sorry|apologi[sz]e|apologies)\b[^.!?\n]{0,80}"
    r"\b(?:can't|cannot|can not|unable|not able|won't|will not|policy)\b"
    r"|\bas an? (?:ai|text|language)[^.!?\n]{0,60}\b(?:can't|cannot|can not|unable|not able|do not|don't)\b"
    r"|\bagainst (?:my|our|the) (?:guidelines|polic(?:y|ies)|programming)\b"
    r"|\b(?:violates?|goes against) (?:my|our|the)\b"
)
_ENGLISH_FINDS_NONE = re.compile(
    rf"\b{_CANNOT} (?:[a-z]+ ){{0,2}}?(?:see|identify|detect|find|spot|observe|notice|discern) {_ANY}\b"
)
_AGAINST_RULES = re.compile(
    r"\b(?:gegen (?:meine|unsere)|contra (?:de )?(?:mis|nuestras|as minhas|minhas)|l'encontre de (?:mes|nos)"
    r"|contro le (?:mie|nostre)|viola (?:mis|le mie|as minhas)) "
    r"(?:richtlini|directri|politic|directiv|regl|linee|diretri)"
    r"|违反了?我们?的"
)
_SPACES = re.compile(r"\s+")
_SENTENCE_STOPS, _CLAUSE_STOPS = ".!?", ".!?,;:"


def _folded(text: str) -> str:
    """Write in lower case and without accents."""
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))


def _declining(language: _Language) -> re.Pattern[str]:
    """Compile "cannot" and the verb nearest to it in the clause, if there is one."""
    cannot, do, see = _folded(language.cannot), _folded(language.do), _folded(language.see)
    if language.verb_first:
        return re.compile(
            f"(?:(?:(?P<do>{do})|(?P<see>{see}))(?:(?!{do}|{see})[^{_CLAUSE_STOPS}]){{0,24}}?)?(?:{cannot})"
        )
    return re.compile(f"(?:{cannot})(?:[^{_CLAUSE_STOPS}]{{0,80}}?(?:(?P<do>{do})|(?P<see>{see})))?")


_DECLINING = [(_declining(language), language) for language in _LANGUAGES.values()]


def is_refusal(text: str) -> bool:
    """Return whether a plain text without scores declines the question; "I cannot find any defects" does not.

    Example:
        >>> is_refusal("Es tut mir leid, dabei kann ich nicht helfen."), is_refusal("Ich kann keine Fehler erkennen.")
        (True, False)
    """
    beginning = _SPACES.sub(" ", text[:_BEGINNING].replace("*", ""))
    if _ENGLISH_REFUSAL.search(_ENGLISH_FINDS_NONE.sub(" ", beginning.lower())):
        return True
    folded = _folded(beginning)
    return _AGAINST_RULES.search(folded) is not None or any(
        _declines(folded, match, language) for pattern, language in _DECLINING for match in pattern.finditer(folded)
    )


def _declines(text: str, match: re.Match[str], language: _Language) -> bool:
    if match["do"]:
        return True
    clause = _around(text, match, _CLAUSE_STOPS)
    if re.search(_folded(language.defect), clause):
        return False
    if match["see"] and re.search(_folded(language.picture), clause):
        return True
    return re.search(_folded(language.sorry), _around(text, match, _SENTENCE_STOPS)) is not None


def _around(text: str, match: re.Match[str], stops: str) -> str:
    """Return the text around a match, between two of these signs."""
    start = max(text.rfind(stop, 0, match.start()) for stop in stops) + 1
    ends = [end for end in (text.find(stop, match.end()) for stop in stops) if end >= 0]
    return text[start : min(ends, default=len(text))]
