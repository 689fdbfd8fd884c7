"""Refusals in nine languages, and answers that only resemble one."""

# ruff: noqa: RUF001 - Chinese punctuation is meant

import pytest

from lvlm_ad.text2seg import parse

REFUSALS = [
    "I can't see the picture.",
    "Es tut mir leid, aber dabei kann ich nicht helfen.",
    "Als KI-Sprachmodell kann ich keine Bilder sehen.",
    "Leider ist es mir nicht möglich, das Foto auszuwerten.",
    "Ich bin ein Sprachmodell und kann keine Bilder verarbeiten.",
    "Das geht gegen meine Richtlinien.",
    "Lo siento, pero no puedo ayudarte con eso.",
    "No tengo la capacidad de ver imágenes.",
    "Debo rechazar esta solicitud.",
    "Désolé, je ne suis pas en mesure d'analyser cette photo.",
    "Je ne peux pas voir l'image.",
    "Je regrette, mais je ne peux pas.",
    "Mi dispiace, non posso aiutarti.",
    "Non riesco a visualizzare l'immagine.",
    "Não consigo avaliar imagens.",
    "Desculpe, mas não posso atender a esse pedido.",
    "对不起，我不能回答这个问题。",
    "我看不到图片。",
    "我目前还无法查看图像，因此不能判断是否有缺陷。",
    "作為人工智能，我無法處理這張圖片。",
    "申し訳ございませんが、ご依頼には対応いたしかねます。",
    "私はAIのため、画像を見ることができません。",
    "回答をお断りします。",
    "죄송하지만 사진을 평가할 수 없습니다.",
    "저는 이미지를 볼 수 없습니다.",
    "요청하신 작업을 도와드릴 수 없습니다.",
]
ANSWERS = [
    "I can't see defects.",
    "We cannot detect anything unusual.",
    "Leider kann ich keinen Kratzer entdecken.",
    "Nach der Prüfung kann ich auf dem Bild keine Fehler erkennen.",
    "Ich kann bestätigen, dass das Bild nicht bearbeitet wurde.",
    "Después de analizar la imagen, no puedo identificar ninguna anomalía.",
    "Je ne peux voir aucun défaut sur l'image.",
    "Non riesco a individuare difetti.",
    "Não consigo ver nenhum dano na imagem.",
    "经过检查，我不能发现任何异常。",
    "我看不到任何划痕。",
    "抱歉，我无法在图片中找到任何缺陷。",
    "该螺丝无法提供支撑。",
    "分析を行いましたが欠陥は検出できません。",
    "申し訳ありませんが、異常は見つけられませんでした。",
    "이미지를 분석했지만 결함을 찾을 수 없습니다.",
    "분석 결과 이상이 없습니다.",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_is_told_in_any_language(text):
    """A refusal is one after a role marker and after reasoning too; with a score beside it, it is an answer."""
    assert parse(text, 9).status == "refused"
    assert parse(f"ASSISTANT: {text}", 9).status == "refused"
    assert parse(f"<think>Region 3: 0.7.</think>\n{text}", 9).status == "refused"
    assert parse(f"<think>{text}</think>\nNormal.", 9).status == "unparsable"
    assert parse(f"{text} Image anomaly score: 0.2.", 9).status == "ok"


@pytest.mark.parametrize("text", ANSWERS)
def test_who_sees_no_defect_does_not_refuse(text):
    """An answer that finds nothing, and a part that cannot do something, are no refusals."""
    assert parse(text, 9).status == "unparsable"
