"""Text2Segmentation: read the scores in an answer's text and paint them into the regions.

``read.py`` is the way in. The part of a text that is the answer (``answer_part``, in the usual ``notations``) becomes
tokens (``lexer``), these become statements such as "region 3 has 0.7" (``prose``, ``tables``, ``json_answers``; their
numbers come from ``numbers``; ``pictures`` finds the picture they are about, ``unread`` what was not read), and the
last complete verdict among the statements becomes ``Scores`` (``scores``; ``scale`` maps them to [0, 1], ``drafts``
finds what the model took back), which ``paint`` turns into a map. ``expected`` replaces scores by expected values.
``places`` reads boxes, points, masks and cells, ``yes_no`` a yes or no; both return a ``Finding``.

To extend the reading: words, also of other languages, go into ``vocabulary.CLASSES``; notations of reasoning and of
turns into ``answer_part``; notations of a score into ``numbers.read_number``, of markup into ``notations``; keys of
JSON into ``json_answers``; languages of refusals into ``refusals``.
"""

from lvlm_ad.text2seg.paint import ScoreMap, paint, paint_shapes
from lvlm_ad.text2seg.read import Scoring, parse, read, write
from lvlm_ad.text2seg.scores import UNANSWERED, Scores, Status

__all__ = ["UNANSWERED", "ScoreMap", "Scores", "Scoring", "Status", "paint", "paint_shapes", "parse", "read", "write"]
