"""Find the part of a text that is the model's answer, without reasoning, a repeated question or later turns.

Servers and models leave their markup in the text: tags around reasoning, role markers, end-of-turn tokens. ``_MARKS``
lists that markup by what it means. ``answer_part`` goes through a text mark by mark and keeps what may be the answer.
"""

from __future__ import annotations

import re

from lvlm_ad.text2seg.lexer import TAG, Text

_REASONING = "think(?:ing)?|thoughts?|reason(?:ing)?|reflection|rationale|scratchpad|analysis|monologue|cot|draft"
_ASKS = "user|human|system|developer|prompter|tool"
_REPLIES = "assistant|model|chatbot|gpt|bot|ai"
_ROLE_TAG = r"<\|?(?:im_start|start|begin|turn|start_of_turn|start_header_id|header_start|start_of_role)\|?>\ *"
_ROLE_END = r"(?:\ *<\|(?:message|end_header_id|header_end|end_of_role|im_middle|im_sep)\|>)?+"
_HEADS = r"(?:^[\#>*_\ -]{0,8}+|(?<=[.!?>)\]}])\ {0,3}+|\#{3}\ ?)"
"""Where a role's name begins a turn: at the beginning of a line, after a sentence or after "###"."""

_PLACE = r"(?:regions?\W{0,3}+[0-9]++|[a-z][0-9]++|\([0-9]++,\ [0-9]++\))"
_ENTRY = rf"[;,.\ ]++{_PLACE}\W{{1,5}}+[0-9][0-9.]*+%?+"
_EXAMPLE = rf"""
  (?:(?:the|image|overall|anomaly)\ )*+ score\b [^0-9\n]{{0,30}}+ [0-9][0-9.]*+%?+
    (?: (?:{_ENTRY})++ | (?:\ *+\n++[*\ -]*+regions?\W{{0,3}}+[0-9]++\W{{1,5}}+[0-9][0-9.]*+%?+)*+ ) \.?
| \{{ (?: [^{{}}]++ | \{{[^{{}}]*+\}} )*+ \}}
"""
"""An answer given as an example."""

_ASKED_FORM = r"""
  (?: (?:antworte(?:n\ sie)?|gib|geben\ sie)\b [^:\n]{0,60}? (?:diesem|folgendem|dieser|folgender)\ form(?:at)?\b
    | (?:répond(?:s|ez)|donnez?)\b [^:\n]{0,60}? (?:ce\ format|format\ suivant)
    | (?:responde|responda|contesta|conteste|rispondi)\b [^:\n]{0,60}?
        (?:este\ formato|siguiente\ formato|questo\ formato|seguinte\ formato)
    | [请請] [^:\n]{0,30}? (?:以下|如下|下列|下面)的?(?:格式|形式)
    | (?:次|以下)の(?:形式|フォーマット)で[^:\n]{0,20}?(?:答え|回答|出力) | 다음\ (?:형식|양식) )
"""
"""How a prompt in another language asks for a form, just before its example."""

_MARKS = {
    # What follows is the answer; what came before is not.
    "final": r"""
        <\|channel\|?>\ *(?:final|answer|response)\b (?:\ *<\|constrain\|>\ *\w++)?+ (?:\ *<\|message\|>)?+
      | assistantfinal
      | <\|(?:begin_of_(?:solution|answer)|start_(?:response|text|answer)|content)\|>
      | <\|im_start\|>\ *answer\b | \[begin\ final\ response\] | here\ is\ my\ response\ *: | (?-i:^final\ *$)
    """,
    # The same, in a text that begins with the heading "Thinking".
    "final_heading": r"^\#{1,6}\ *+\**+final\ (?:response|answer)\b[^\n]*+$",
    # Reasoning begins and ends here. A closing mark without an opening one: everything before it is reasoning.
    "channel": r"""
        <\|channel\|?>\ *\w*+ (?:\ *<\|message\|>)?+ | assistant(?:analysis|commentary)
      | (?-i:\Aanalysis(?=[A-Z"']|\ *$)) | <\|im_start\|>\ *think\b | <unused94>(?:thought\b)?+ | \[unused16\]
      | \A\s*+thinking\.\.\.\ *$
    """,
    "channel_end": r"<channel\|> | <unused95> | \[unused17\] | ^\.\.\.\ *done\ thinking\.?+ | </think(?:ing)?\ *$",
    "tag": rf"""
        (?: <\|?+ | ◁ | \[(?=/|think) ) (?:/|end_(?:of_)?+)?+
        (?:(?:begin|start)_(?:of_)?+|(?:[a-z]{{1,16}}[:_]){{1,2}})? (?:{_REASONING}) (?:_[a-z]{{1,16}}){{0,2}}+
        (?:\ ++[a-z_-]{{1,20}}=[^<>\n]{{0,80}})?+ \ *+/?+ \|?+ [>▷\]]
    """,
    # A heading, unless it is closed later.
    "bracket": rf"^\ *+\[(?:{_REASONING})\]",
    "details": r"""
        <details\b[^<>\n]{0,80}?\btype=.?(?:reasoning|thinking)[^<>\n]{0,80}+>
      | <details\b[^<>\n]{0,80}+>\s*+<summary>[^<\n]{0,60}?(?:think|thought|reason|draft|思|推)
    """,
    "details_end": r"</details>",
    "fence": rf"^\ *+```++\ *+(?:{_REASONING})\b[^\n`]*+$",
    "fence_end": r"^\ *+```++\ *+$",
    # A turn of the user or of the system begins.
    "asks": rf"""
        {_ROLE_TAG}(?:{_ASKS})\b {_ROLE_END} | <\|?(?:im_)?(?:{_ASKS})(?:_token|_start)?\|?>
      | \[inst\] | \[system_prompt\] | <<sys>>
    """,
    # A turn of the model begins.
    "replies": rf"""
        {_ROLE_TAG}(?:{_REPLIES})\b {_ROLE_END} | <\|?(?:im_)?(?:{_REPLIES})(?:_token|_start)?\|?>
      | \[/inst\]
    """,
    # A turn ends.
    "ends": r"""
        <\|?(?:im_end|eot_id|eom_id|eot|eos|end_of_turn(?:_token)?|end_of_text|endoftext|endofturn|end_of_utterance|
        end▁of▁sentence|end_of_sentence|return|end_(?:of_)?(?:solution|response|text|answer))\|?>
      | <turn\|> | </s> | \[eos\] | \[end\ of\ text\] | \[end\ final\ response\]
    """,
    "message_ends": r"<\|end\|>",
    # A picture is shown.
    "shows": r"<\|?(?:image|vision_start|image_pad|start_of_image|image_soft_token)\|> | <start_of_image>",
    # The same in words.
    "asks_word": rf"""
        {_HEADS} (?: (?:gpt4\ correct\ )?user|human|nutzer|benutzer|utilisateur|usuario|usuário|utente
          |用户|用戶|ユーザー|사용자 ) [*_\ ]{{0,3}}+ :
      | (?-i:\bUSER\ ?:) | (?-i:(?:^|(?<=[.!?;)0-9]))(?:[Uu]ser|USER|[Hh]uman|system)\ *$)
      | \#{{2,4}}\ *(?:user|human|instruction|input|question)\ *:?\ *$
    """,
    "may_ask": rf"{_HEADS}(?:question|q|instruct(?:ion)?|input|system|问题?)[*_\ ]{{0,3}}+:",
    "replies_word": rf"""
        {_HEADS} (?: (?:gpt4\ correct\ )?assistant|assistente?|asistente
          |助手|助理|アシスタント|어시스턴트 ) [*_\ ]{{0,3}}+ :
      | (?-i:\bASSISTANT\ ?:) | (?-i:(?:^|(?<=[.!?;)0-9]))(?:[Aa]ssistant|ASSISTANT)\ *$)
    """,
    "may_reply": rf"""
        {_HEADS} (?:ai|gpt|bot|model|answer|a|response|output|reply|回?答) [*_\ ]{{0,3}}+ :
      | (?-i:^model\ *$|\bAnswer\ ?:) | ^\#{{2,4}}\ *(?:response|output|answer)\ *$
    """,
    # A repeated question: how the prompts of this package begin, and how any prompt gives an example.
    "prompt": r"""
        you\ inspect\ industrial\ products\ for\ defects\b
      | find\ what\ is\ wrong\ with\ this\ [^,\n]{1,60}+,\ if\ anything\ is\b
    """,
    "example": rf"""
        (?: (?: (?:^|(?<=[.!?:]))\ ?+ (?:(?:you|i|we)\ (?:must|should|need\ to|have\ to|are\ \w++\ to)\ )?+
                (?: answer|respond|reply|output|return|write|use|give|provide|follow|format|end
                  | (?:the|your|my)\ (?:answer|response|output)\ (?:must|should|has\ to) )\b [^:\n]{{0,80}}?
                \b(?:this|these|below|the\ following|your)\ [^:\n]{{0,60}}?
                \b(?:format|form|template|schema|structure|example|line|lines|object|as|like)\b [^:\n]{{0,80}}+ :
              | {_ASKED_FORM} [^:\n]{{0,40}}+ :
              | \bwith\ your\ own\ numbers\b[^:\n]{{0,60}}+ :
              | \b(?:like\ this|example(?:\ (?:answer|output|response|format))?)\ ?:
              | \b(?:for\ example|for\ instance|e\.g\.|such\ as|zum\ beispiel|z\.\ ?b\.|par\ exemple|por\ ejemplo|
                ad\ esempio|por\ exemplo|例如|比如|例えば|예를\ 들어) (?:,?\ you\ [^:.\n]{{1,40}}+:)?+
              | \bformat\ (?:is|must\ be|should\ be|would\ be|looks\ like)(?:\ (?:as\ follows|exactly|this))?+\ ?:?
            ) [\s"'`*_>,]{{0,10}}+ (?:json\s*+)?+ (?P<shown>{_EXAMPLE})
          | (?: \bthe\ format[\ "'`]{{1,3}}+
              | (?:^[\#*.)0-9\ -]{{0,8}}+|(?<=[.!?]\ ))
                (?:(?:output|answer|required|expected|response)\ )?+format\ ?:[\ "'`*]*+
            ) (?:{_EXAMPLE})
        )
    """,
}
_ANY_MARK = "|".join(f"(?P<{name}>{pattern})" for name, pattern in _MARKS.items())
_MARK = re.compile(
    # Only one mark may begin inside a word; not trying the others there saves most of the time.
    rf"(?! (?<=[a-z]) (?!assistant) [a-z] ) (?:{_ANY_MARK})",
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_REASONING_MARKS = frozenset(
    ["channel", "channel_end", "tag", "bracket", "details", "details_end", "fence", "fence_end"]
)
_REPLY_MARKS = frozenset({"replies", "replies_word", "may_reply"})
_CLOSES = re.compile(r"[<[◁]\|?(?:/|end_)|_end\b", re.IGNORECASE)
_PREAMBLE = re.compile(
    r"\W*+(?:system\W++)?+(?:you are|a (?:chat|conversation) between|below is an? instruction|the following is)\b",
    re.IGNORECASE,
)
_THINKING_HEADING = re.compile(rf"\s*+#{{1,6}} *+\**+(?:{_REASONING})\b", re.IGNORECASE)
_BRACKET_TAG = re.compile(r"\[/?[a-z_]{1,20}\]", re.IGNORECASE)
_WORD, _DIGIT, _NUMBER = re.compile(r"\w"), re.compile("[0-9]"), re.compile(r"[0-9]+(?:\.[0-9]+)?")
_SHOWN = (
    ["0.9", "1", "0.9", "3", "0.7"],
    ["0.9", "2", "0.9", "2", "0.7"],
    ["0.9", "2", "1", "0.9", "2", "2", "0.7"],
)
"""The numbers of the example in the prompts of this package: of regions, and of cells by either naming."""
_WRAPPER = r"(?:final_)?(?:answer|response|conclusion|solution|result|output)|final"
_WRAPPED = re.compile(rf"<(?:{_WRAPPER})>", re.IGNORECASE)
_WRAPPER_AT_END = re.compile(rf"</(?:{_WRAPPER})>\s*+\Z", re.IGNORECASE)


def answer_part(text: Text) -> Text:
    """Return the part of a plain text that is the answer.

    Reasoning is left out, in any of its notations, closed or not; so is an echoed question, with its example, and what
    follows the end of the model's turn. Reasoning that never ends contains no answer.
    """
    return _AnswerPart(text).read()


class _AnswerPart:
    def __init__(self, text: Text) -> None:
        self._text = text
        final = "final" if _THINKING_HEADING.match(text.text) else ""
        kinds = ((str(mark.lastgroup).replace("final_heading", final), mark) for mark in _MARK.finditer(text.text))
        self._marks = [(kind, mark) for kind, mark in kinds if kind]
        self._last = {kind: mark.start() for kind, mark in self._marks}
        """Where the last mark of each kind stands."""
        self._last_bracket = text.text.rfind("[/")
        self._kept: list[Text] = []
        self._start = 0
        """Start of the text that is neither kept nor dropped yet."""
        self._inside = ""
        """What is open: reasoning ("tag", "details", "fence"), a question ("asks", "prompt"), or "" for the answer."""
        self._words = self._digits = False
        """Whether what is kept has words and digits besides markup."""
        self._reasoned = self._echoed = self._answering = False
        """Whether there was reasoning, the example of a prompt, and a mark that opens the answer."""

    def read(self) -> Text:
        end = next((mark.start() for kind, mark in self._marks if self._ends_at(kind, mark)), len(self._text.text))
        self._keep(end)
        if self._inside == "tag":
            self._keep_wrapped(self._text.part(self._start, end))
        return Text.joined(self._kept, by="\n")

    def _keep(self, end: int) -> None:
        """Keep the text up to here if it is part of the answer."""
        if self._inside or end <= self._start:
            return
        part = self._text.part(self._start, end)
        self._start = end
        self._kept.append(part)
        shown = _BRACKET_TAG.sub(" ", TAG.sub(" ", part.text))
        self._words |= _WORD.search(shown) is not None
        self._digits |= _DIGIT.search(shown) is not None

    def _drop(self, mark: re.Match[str]) -> bool:
        """Drop everything up to a mark: the answer comes after it."""
        self._kept.clear()
        self._words = self._digits = False
        self._inside = ""
        self._start = mark.end()
        return False

    def _ends_at(self, kind: str, mark: re.Match[str]) -> bool:
        """Process a mark; return whether the answer ends there."""
        asking = self._inside in {"asks", "prompt"}
        if kind == "final":
            self._reasoned = self._answering = True
            return self._drop(mark)
        if kind in _REASONING_MARKS:
            return self._reasoning(kind, mark, asking=asking)
        if kind in {"asks", "asks_word", "may_ask", "prompt"}:
            return self._question(kind, mark)
        if kind in _REPLY_MARKS:
            return self._reply(kind, mark, asking=asking)
        if kind == "example":
            return self._example(mark)
        return self._end_of_turn(kind, mark, asking=asking)

    def _reasoning(self, kind: str, mark: re.Match[str], *, asking: bool) -> bool:
        if asking and self._reply_follows(mark):
            return False  # the question mentions the tags
        if kind == "bracket" and self._last_bracket < mark.start():
            return False
        closes = kind.endswith("_end") or (kind == "tag" and _CLOSES.search(mark[0]) is not None)
        kind = kind.removesuffix("_end").replace("channel", "tag").replace("bracket", "tag")
        if closes and kind == "tag" and self._inside not in {"details", "fence", "tag"}:
            self._drop(mark)
        elif closes and kind == self._inside:
            self._inside = ""
            self._start = mark.end()
        elif not closes and not self._inside and not mark[0].endswith("/>"):
            self._keep(mark.start())
            self._inside = kind
        else:
            return False
        self._reasoned = True
        return False

    def _question(self, kind: str, mark: re.Match[str]) -> bool:
        """Skip an echoed question; a question after the model's own words begins a turn that the model invents."""
        if self._inside:
            return kind == "asks" and self._inside not in {"asks", "prompt"}
        self._keep(mark.start())
        answered = self._reply_follows(mark, "may_reply")
        if kind == "may_ask" and not (answered and (self._digits or not self._words)):
            return False
        if self._kept and not self._reasoned and _PREAMBLE.match(self._kept[0].text):
            self._drop(mark)
        if self._reasoned or self._words:
            return True
        if kind in {"asks", "prompt"} or answered:
            self._inside = "prompt" if kind == "prompt" else "asks"
        return False

    def _reply(self, kind: str, mark: re.Match[str], *, asking: bool) -> bool:
        """Begin the answer at a role marker; if the model has answered already, the marker begins an invented turn."""
        if (self._inside and not asking) or (kind == "may_reply" and (not asking or self._reply_follows(mark))):
            return False
        self._keep(mark.start())
        answered = self._words and (self._digits or not self._echoed)
        return answered or self._drop(mark)

    def _reply_follows(self, mark: re.Match[str], *more: str) -> bool:
        return any(self._last.get(kind, -1) > mark.start() for kind in ("replies", "replies_word", *more))

    def _example(self, mark: re.Match[str]) -> bool:
        """Leave out the example that a prompt gives; the prompts of this package end with it."""
        if self._inside not in {"", "prompt"}:
            return False
        self._keep(mark.start())
        self._echoed = True
        self._digits = False
        if self._inside:
            self._drop(mark)
        # A model may repeat the last line of the prompt and then answer in it.
        answered = "with your own numbers" in mark[0] and _NUMBER.findall(mark["shown"] or "") not in _SHOWN
        self._start = mark.start("shown") if answered else mark.end()
        return False

    def _end_of_turn(self, kind: str, mark: re.Match[str], *, asking: bool) -> bool:
        if asking or (kind == "shows" and self._inside):
            return False
        if kind == "message_ends" and not self._answering and self._last.get("final", -1) > mark.start():
            return self._drop(mark)
        if self._inside and kind == "message_ends":
            self._inside = ""
            self._start = mark.end()
            return False
        if self._inside:
            return True
        self._keep(mark.start())
        self._start = mark.end()
        return self._words and (kind != "shows" or self._digits)

    def _keep_wrapped(self, reasoning: Text) -> None:
        """Keep an answer in tags at the end of unclosed reasoning."""
        if _WRAPPER_AT_END.search(reasoning.text):
            starts = [wrapper.end() for wrapper in _WRAPPED.finditer(reasoning.text)]
            self._kept = [reasoning.part(start) for start in starts[-1:]]
