"""Answers in rarer notations and in other languages."""
# ruff: noqa: RUF001 - full-width signs are meant

import pytest

from lvlm_ad.backend import Answer, number_tokens
from lvlm_ad.text2seg import parse, read

N = 60

NOTATIONS = [
    r"image anomaly score: $\boxed{0.8}$; region 4: $\boxed{0.6}$",
    r"\boxed{\text{image anomaly score: } 0.8; \text{ region } 4: \mathbf{0.6}}",
    "\\[ \\text{Image anomaly score} = \\frac{8}{10} \\]\n\\[ \\text{Region 4} \\approx 0.6 \\]",
    r"\begin{tabular}{|c|c|} \hline Region & Score \\ \hline 4 & 0.6 \\ \end{tabular} Image anomaly score: 0.8",
    r'\boxed{{"image_anomaly_score": 0.8, "regions": [{"region": 4, "score": 0.6}]}}',
    "image anomaly score: 0.8; #4: 0.6",
    "image anomaly score: 0.8; R4: 0.6",
    "image anomaly score: 0.8\nregion 4 \u27f6 0.6",
    '<image_score>0.8</image_score><region id="4" score="0.6"/>',
    "<image_score>0.8</image_score>\n<regions>\n <region>\n  <id>4</id>\n  <score>0.6</score>\n </region>\n</regions>",
    '<image score="0.8"/><region number="4">0.6</region>',
    "image_anomaly_score: 0.8\nregions:\n  - id: 4\n    score: 0.6",
    "image_anomaly_score: 0.8\nregions: [4]\nscores: [0.6]",
    "image anomaly score: 0.8; score(region 4) = 0.6",
    "anomaly_score[image] = 0.8; anomaly_score[4] = 0.6",
    "image anomaly score: 0.8; 4th region: 0.6",
    "Image score /10: 8; region 4: 6",
    "image anomaly score: 0\u00b78; region \u2463: 3\u20445",
    "image anomaly score: \u0660\u066b\u0668; region \u0664: \u0660\u066b\u0666",
    "image anomaly score: \u0966.\u096e; region \u096a: \u0966.\u096c",
]
LANGUAGES = [
    "image anomaly score: 0.8；区域4：0.6。",
    "图像的异常得分为0.8。区域4的异常分数是0.6。",
    "第4个区域的异常分数为0.6。整张图像的异常分数为0.8。",
    "画像の異常スコアは0.8です。4番の領域：0.6。",
    "Der Anomaliewert des gesamten Bildes beträgt 0,8. Bereich 4 erhält 0,6 und ist verkratzt.",
    "图像异常评分：8（满分10分）；第4区域：6分",
    "| 区域 | 分数 |\n|---|---|\n| 图像 | 0.8 |\n| 4 | 0.6 |",
    "画像の異常スコア：0.8\n領域4のスコアは0.6です。",
    "이미지 이상 점수: 0.8; 영역 4의 점수는 0.6",
    "Bild-Anomalie-Score: 0,8; Bereich 4: 0,6",
    "Der Anomalie-Score des Bildes ist 0,8. Bereich 4 hat einen Wert von 0,6.",
    "Score d'anomalie de l'image : 0,8 ; région 4 : 0,6",
    "Score d'anomalie de l'image : 0,8 ; re\u0301gion 4 : 0,6",
    "Gesamtbewertung: 0,8; Bereich 4: 0,6",
    "Le score d'anomalie de l'image est de 0,8. La région 4 a un score de 0,6.",
    "Punteggio complessivo: 0,8. Regione 4: 0,6.",
    "画像全体の異常度は0.8、領域4は0.6です。",
    "Puntuación de anomalía de la imagen: 0,8; región 4: 0,6",
    "Punteggio di anomalia dell'immagine: 0,8; regione 4: 0,6",
    "Pontuação de anomalia da imagem: 0,8; região 4: 0,6",
]


@pytest.mark.parametrize("text", [*NOTATIONS, *LANGUAGES])
def test_answer_is_read_whole(text):
    """LaTeX, XML, YAML, short labels, digits of other scripts and other languages give the scores without a note."""
    scores = parse(text, N)
    assert (scores.image, dict(scores.regions), scores.status, scores.notes) == (0.8, {4: 0.6}, "ok", ())


@pytest.mark.parametrize("written", ["3~5", "3 ~ 5", "3\uff5e5", "3..5", "3\u20265", "3-5"])
def test_range_of_regions(written):
    """A range may be written with a tilde, dots or a dash."""
    assert dict(parse(f"image anomaly score: 0.8; regions {written}: 0.6", N).regions) == {3: 0.6, 4: 0.6, 5: 0.6}


def test_digits_of_several_scripts_are_not_read():
    """In a mixture of digits nobody knows which are meant: what stands beside a name is told."""
    scores = parse("image anomaly score: 0.8; region \u0664: 0.6", N)
    assert (scores.image, dict(scores.regions), scores.status) == (0.8, {}, "partial")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (r"image anomaly score: \boxed{0.8}; region 4: \boxed{\text{", "}}"),
        ('<image score="0.8"/><region number="4">', "</region>"),
        ("图像异常分数：0.8；区域4：", "。"),
        ("Score d'anomalie de l'image\u00a0: 0.8 ; regions 4~4 and #4: ", ""),
    ],
)
def test_expected_values_find_their_tokens(before, after):
    """Whatever the notation, a score's place in the answer is known, so that its tokens are weighed."""
    half = [("7", -0.7), ("9", -0.7)]
    pieces = [(before, [(before, 0.0)]), ("0", [("0", 0.0)]), (".", [(".", 0.0)]), ("7", half), (after, [(after, 0.0)])]
    answer = Answer(before + "0.7" + after, tokens=number_tokens(pieces))
    assert read(answer, N, "expected").regions[4] == pytest.approx(0.8)
