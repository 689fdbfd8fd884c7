"""Text2Segmentation: reads the scores from an answer's text and paints them into the regions."""

from lvlm_ad.text2seg.paint import ScoreMap, paint
from lvlm_ad.text2seg.parse import Scoring, parse, read, write
from lvlm_ad.text2seg.scores import UNANSWERED, Scores, Status

__all__ = ["UNANSWERED", "ScoreMap", "Scores", "Scoring", "Status", "paint", "parse", "read", "write"]
