"""The words and signs that the reader of answers knows, by class.

To teach the reader a word, such as one for "region" in another language, add it to its class; nothing else changes.
Words of scripts that are written without spaces (Chinese, Japanese) and of Korean are found inside longer words.
"""

CLASSES = {
    "of": "of de des du d del della dell di da von vom の 的 의",
    # What a score is the score of.
    "region": "region regions section sections segment segments area areas zone zones cell cells superpixel "
    "superpixels bereich bereiche bereichs bereichen région régions región regiones zona zonas regione regioni "
    "região regiões 区域 區域 分区 领域 領域 エリア リージョン 영역 구역",
    "picture": "image images picture pictures photo photos bild bilder bildes bilds imagen imagenes imágenes imagem "
    "imagens immagine immagini 图像 图片 圖像 圖片 画像 이미지 사진",
    "image": "image picture photo overall whole entire global bild bildes bilds gesamtbild gesamt bildanomaliewert "
    "bildanomaliescore imagen imagem immagine 图像 图片 圖像 圖片 整图 整体 画像 全体 이미지 사진 전체 bildscore "
    "bildwert gesamtbewertung gesamtscore gesamtwert complessivo geral globale gesamten ganzen gesamte ganze entière "
    "entera intera inteira",
    # Which picture is meant.
    "reference": "reference references template golden flawless perfect normal good free training support example "
    "comparison baseline referenz referenzbild referencia référence riferimento referência 参考 参照 基準 참조 기준",
    "reference_name": "reference template golden referenz referencia référence riferimento referência",
    "inspected": "test query target inspected inspection current",
    "product": "product products sample samples part parts object objects item items surface",
    "nth": "st nd rd th 号 番 번 번째 个 號",
    "before_nth": "第 제",
    "ordinal": "first second third fourth fifth",
    "box": "box boxes bbox bboxes bounding",
    # What a number measures.
    "score": "score scores scored rating rated wert punktzahl bewertung anomaliewert anomaliescore bildanomaliewert "
    "bildanomaliescore puntuación puntuacion puntaje punteggio pontuação pontuacao 分数 分數 得分 评分 分值 スコア "
    "点数 점수 스코어 bildscore bildwert gesamtbewertung gesamtscore gesamtwert anomaliebewertung 異常度 异常度 "
    "이상도",
    "measure": "probability likelihood level index 概率 確率 확률 wahrscheinlichkeit probabilité probabilidad "
    "probabilidade probabilità",
    "anomaly": "anomaly anomalies anomalous abnormality abnormal defect anomalousness anomalie anomalía anomalia "
    "anomal anormal défaut defecto difetto defeito defekt 异常 異常 缺陷 欠陥 이상 결함",
    "not_anomaly": "confidence confident sure certain certainty normal similarity normality konfidenz sicherheit "
    "confiance confianza confiança confidenza 置信度 信頼度 신뢰도",
    "quantity": "@not_anomaly size width height length depth diameter radius ratio position coordinates x y "
    "threshold scale accuracy iou brightness contrast distance angle thickness weight quality",
    "unit": "mm cm m km um nm \u00b5m \u03bcm inch inches px pixel pixels x times deg degree degrees s sec secs "
    "second seconds minute minutes hour hours am pm kg g mg ml l hz kb mb v mv kv w ohm ohms \u00b0 \u00d7 毫米 厘米 "
    "像素 ミリ センチ 밀리미터 픽셀",
    # How numbers are written: percentages, fractions, ranges.
    "percent": "% percent pct percentage percentages prozent pourcent procent 퍼센트 パーセント",
    "fraction": "@percent / out",
    "range": "- to bis à 至 到 から 부터",
    "region_range": "@range through thru until",
    # What stands between "region" and its number.
    "numbered": "number numbers no nos nr num id ids index anomaly score scores nummer numéro número numero 编号 "
    "編號 番号 번호",
    "id": "number no nr num id index nummer numéro número numero 编号 編號 番号 번호",
    # What stands before "score".
    "qualifier": "@image @anomaly 的 の 의 level final total wide based estimated resulting",
    "has": "has have had gets get receives receive should would will is are",
    "always": "always usually typically normally often generally close near",
    "indefinite": "a an its with this their ein eine einen un una une um uma",
    "article": "the this der das le la les l el los las il lo",
    "before_score": "@indefinite @reference the my of is and or as give assign s therefore region regions section "
    "@article",
    # What stands between a label and its number, and what follows the number.
    "copula": "is was ist beträgt est es è é は が 为 為 是 은 는 이 가",
    "verb": "@copula @of are were be at to gets get receives receive scored erhält bekommt obtient reçoit recibe "
    "obtiene riceve recebe",
    "filler_but_the": "@verb @score a an this has have had having with i we would could should might may can will "
    "i'd i'll it its my their also given give giving assigned assign assigning estimated estimate being been both "
    "each all respectively about around approximately roughly approx likely therefore thus set rated deserves "
    "anomaly anomalies anomalous abnormality abnormal defect level value probability likelihood final resulting "
    "individual relatively very high low moderate medium higher lower slightly box ein eine einen un una une um uma "
    "hat tem tiene ha 约 約 概率 確率 확률",
    "filler": "@filler_but_the the",
    "image_filler": "@filler @image @article for in level product object item part sample surface given full scale",
    "connective": "@region @image and because due since while but as with for which indicating suggesting given so "
    "therefore where if although or though likely in on to und et y です である 입니다 分",
    "defines": "means mean represents represent corresponds or above below would being if and",
    # A clause begins after one of these.
    "opens": ". ; : , | ( ) [ ] { } - = ! ? and for then so but finally",
    # Words that state a scale.
    "scale": "scale scales range ranges ranging",
    "points": "point points pts",
    "max": "max maximum maximal 满分 満点 maximal höchstwert",
    "means": "means mean is being indicates represents = :",
    "in_or_as": "in as",
    "unit_of": "unit units",
    # The heads of a table's columns.
    "label_column": "@region @image no id number nr",
    "score_column": "@score probability likelihood value",
    "final_column": "final revised corrected updated adjusted",
    # Small words that a phrase depends on.
    **{word: word for word in ("for", "out", "the", "this", "with")},
    "and": "and und et y 和 及 与 と 및 와 과 e",
    "of_or_for": "@of for",
    "to_or_for": "to for in on für pour para per",
    "is": "@copula would",
}
"""Class -> its words and signs, in lower case; ``@name`` stands for all members of an earlier class."""
