"""Find what a model took back: text that it struck out, and statements that a final one replaces."""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING

from lvlm_ad.text2seg.scores import Statement, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lvlm_ad.text2seg.lexer import Text

_STRUCK = re.compile(
    r"""
      (?<!~)~~(?=[^\s~]) (?:[^~\n]|\n(?!\s*+\n)){1,1000}+ ~~(?!~)
    | (?<![~\w.])~(?=[^\s~]) [^~\n]{1,200}+ (?<=\S)~(?![~\w]|\.[0-9])
    | (?!\A|(?<=\n)<s>[^<]*+</s>\s*+\Z)(?<!</s>)<(s|del|strike)\b[^<>\n]{0,80}+> (?:[^<]|<(?!/\1\b)){0,1000}+ </\1>
    | <span\b[^<>\n]{0,80}?line-through[^<>\n]{0,80}+> (?:[^<]|<(?!/span\b)){0,1000}+ </span>
    | <!-- (?:[^-]|-(?!-?=)){0,300}+ -?-=
    | \[s\] [^\[\n]{0,200}+ \[/s\]
    | \\(?:sout|st|[xb]?cancel)\{ [^{}\n]{0,200}+ \}
    | (?<![\w.]) (?: . [\u0335-\u0338] )++
    """,
    re.VERBOSE | re.IGNORECASE,
)

_DECIMAL = r"(?<![\w.])(?:[01]?\.[0-9]++|[0-9]{1,3}%)"
_NEXT_DECIMAL = r"(?=[*~]{0,3}(?:[01]?\.[0-9]|[01]\b|[0-9]{1,3}%))"
_CHANGED = "(?:revis|correct|lower|rais|reduc|updat|adjust|chang|downgrad|upgrad|increas|decreas)ed"
_REPLACED = re.compile(
    rf"""
      {_DECIMAL} (?: \ ?=\ ?
        | [\s,;(*~-]{{0,4}} (?:(?:later|now|but|then|and)\ ){{0,2}}
          (?: {_CHANGED}(?:\ (?:down\ |up\ )?to)? | no, | actually | (?:or\ )?rather | make\ that | i\ mean | sorry )
          [:,]?\ ) {_NEXT_DECIMAL}
    | \b{_CHANGED}\ from\ {_DECIMAL}\ to\ {_NEXT_DECIMAL}
    | \b(?:initially|originally|previously|formerly|at\ first)\ {_DECIMAL}[,;]?\ (?:but\ |and\ )?
      (?:now|then|finally|later|{_CHANGED}\ to)\ {_NEXT_DECIMAL}
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""A number that another one replaces at once: "0.9 (revised to 0.2)"."""

_REGION = "(?:region|section|segment|area|zone|cell|superpixel)s?"
_ODD = r"(?:anomal|abnormal|defect|suspicious|damaged|affected|faulty)\w*+"
_NONE = rf"""
    no\ (?:single\ |visible\ |clearly\ |individual\ |numbered\ )?+{_ODD}\ {_REGION}\b
  | no\ {_REGION}\b (?:\ \w++){{0,4}}?\ (?:{_ODD}|flagged|listed|reported)
  | (?:not|without|(?<=n't))\ (?:\w++\ )?any\ (?:{_ODD}\ )?{_REGION}\b
  | none\ of\ (?:the\ |these\ |its\ )?+(?:[0-9]++\ |numbered\ )?+{_REGION}\b
  | no\ (?:{_ODD}|damage|flaws?)\b (?:\ \w++){{0,3}}?\ in\ any\ (?:of\ the\ )?+(?:[0-9]++\ )?+{_REGION}\b
  | all\ (?:of\ )?+(?:the\ )?+(?:[0-9]++\ )?+{_REGION}\ (?:are|look|appear|seem)\ (?:\w++\ )?(?:normal|fine|intact|ok)\b
  | keine\ (?:der\ )?+(?:(?:auffällig|anomal|defekt|fehlerhaft)en\ )?+(?:region|bereich|zone)
  | ninguna\ (?:de\ las\ )?+regi[oó]n | aucune\ (?:des\ )?+(?:région|zone)
  | nessuna\ (?:delle\ )?+region | nenhuma\ (?:das\ )?+regi
  | (?:没有|沒有|无|無)(?:任何)?+(?:异常|異常|缺陷)?+的?+(?:区域|區域)
  | (?:异常|異常)(?:な|のある)?+(?:区域|區域|領域)[はが]?+(?:[:=]\ ?)?+(?:无|無|没有|なし|ありません|ない|見つか)
  | (?:이상|비정상)\ ?영역(?:은|이)?+\ ?없
"""
_EMPTY = r"(?: (?:none|nil|n/a|empty|keine|ninguna|aucune|nessuna|nenhuma|无|無|なし|없음)\b | \[\ ?\] )"
_EXCEPT = r"[^.;\n]{0,60}\b(?:except|besides|but|apart|aside|other|beyond|excluding|outside|elsewhere)\b"
_MARK = re.compile(
    rf"""
    (?! (?<=[a-z]) [a-z] ) (?:
      (?P<final>
          (?: (?:^|(?<=[.!?:])\ ) [\#*_>\ ]{{0,8}}+ | \b(?:my|the|so|thus|therefore|hence),?\ )
          (?: (?:final|revised|corrected|updated|definitive)\ (?:\w++\ )?
              (?:answers?|statement|response|output|scores|results?|list|regions|version|report)\b
            | (?:respuesta|réponse|risposta|resposta)\ final[ea]?+\b | endgültige\w*+\ (?:antwort|ergebnis\w*+)
            | 最[终終](?:答案|结果|結果|评分|回答|判断) | 최종\ ?(?:답변|결과|점수)
            | (?:final|revised|corrected|updated)\ *: )
      )
    | (?P<answer> <(?:answer|response|conclusion|solution|final_?answer)>\s*+(?=[^\W\d]|[{{*\#|-]) )
    | (?P<revised>
          \b(?: wait | actually | oops | hold\ on | scratch\ that | correction | in\ fact | i\ was\ wrong
              | on\ (?:second\ thoughts?|reflection|(?:a\ )?closer|further) | look(?:ing|ed)?\ (?:again|closer)
              | re-?(?:examin|check|consider|evaluat|assess|inspect)\w++ | revis(?:ed|ion|ing)
              | i\ take\ (?:that|it)\ back | korrektur | doch\ nicht | tatsächlich | espera | corrección | en\ fait )\b
        | \bfinal\ (?:verdict|assessment|evaluation|conclusion|judge?ment|decision|rating)\b
        | 等等 | 更正 | 修正 | 实际上 | 其实 | 訂正 | 実際には | よく見る | 정정 | 다시\ 보니 | 사실은
      )
    | (?P<condition> \b(?:if|when|whether|unless|where|in\ case)\b [^.;:\n]{{0,30}}? (?:{_NONE}) )
    | (?P<none>
          (?: (?<=[0-9%*])[;,.\s*(]{{1,6}}+(?:and\ |with\ |there\ are\ )?+ | (?<=[:=]\ ) )
          (?: {_NONE} | no\ (?:{_REGION}|{_ODD})\b | none\ ?[.)*]*+\s*+$ )
        | \b(?:{_ODD}\ )?{_REGION}[*_:=\ ]{{1,5}}+(?:are\ )?+{_EMPTY}
      ) (?!{_EXCEPT})
    | (?P<cleared>
          \b{_REGION}\ (?P<number>[0-9]{{1,4}})\ (?:is|looks|appears|seems)\ (?:actually\ |in\ fact\ |just\ |clearly\ )?
          (?:not\ (?:an?\ )?{_ODD}|normal|fine|intact|ok)\b
      )
    | (?P<passing> \b(?:{_NONE}) ) (?!{_EXCEPT}) )
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
"""What may stand between scores. ``final``: a final statement begins; its regions replace all before. ``answer``: a tag
encloses it. ``revised``: something is taken back. ``none``: no region is anomalous, in place of a list of regions.
``passing``: the same in passing; it clears only what a "wait" or a "final answer" took back. ``cleared``:
the same for one region. ``condition``: it has no effect."""


_BARE = re.compile(r"(?:\s|[:*_`=]|is\b){0,8}+([01]?\.[0-9]++|[01]\b(?!\.)|[0-9]{1,3}\ ?%)")


def without_struck(text: Text) -> Text:
    """Remove what a plain text strikes out (``~~0.9~~``, ``<del>``), hides, or replaces at once ("0.9, no, 0.2")."""
    return text.replaced(_STRUCK, lambda _: " ").replaced(_REPLACED, lambda _: " ")


def with_marks(part: Text, statements: Sequence[Statement]) -> Iterator[Statement]:
    """Yield the statements and marks of a text in order: "final answer", "wait", "no anomalous regions"."""
    scores = [statement.score for statement in statements if statement.score is not None]
    read = {score.written for score in scores} | {score.at for score in scores}
    marks = deque[tuple[int, Statement]]()
    for mark in _MARK.finditer(part.text):
        kind, note = str(mark.lastgroup), ""
        bare = _BARE.match(part.text, mark.end()) if kind == "final" else None
        if bare and read.isdisjoint({bare[1], part.origins[bare.start(1)]}):
            note = f"Whose score the final answer {quoted(bare[1])} is, is not clear; it is left out."
        region = int(mark["number"] or 0)
        statement = Statement(None, ((region, region),) if region else (), mark=kind, note=note)
        marks.append((part.origins[mark.start(kind)], statement))
    for statement in statements:
        while marks and statement.score is not None and marks[0][0] < statement.score.at:
            yield marks.popleft()[1]
        yield statement
    for _, statement in marks:
        yield statement
