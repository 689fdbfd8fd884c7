"""Write docs/quickstart.ipynb, without outputs. Run it after a change to the cells; a test runs the notebook.

python docs/make_notebook.py [--check]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

PAGE = Path(__file__).with_name("quickstart.ipynb")

CELLS = """
# lvlm-ad in a notebook

You need no key, no GPU and no download: this notebook uses the built-in demo and a model of three lines.
---
import lvlm_ad

runs = lvlm_ad.bench(models=["contrast"], dataset="demo", limit=4)
runs
---
The numbers are in percent, averaged over the categories. This is one of the runs, by category:
---
contrast = runs.named("contrast")
contrast
---
Its predictions as a pandas frame, the most anomalous images first:
---
frame = contrast.to_frame()
frame.sort_values("image_score", ascending=False)[["id", "label", "image_score"]].head()
---
## A model of your own

Any class with a method `answer` works. Write it to a file:
---
%%writefile guess.py
class Guess:
    def answer(self, request):
        return "image anomaly score: 0.5; region 1: 0.5."
---
Use the file's name as the model's name:
---
lvlm_ad.bench(models=["guess.py"], dataset="demo", limit=4)
---
## Divide an image and read an answer
---
sample = lvlm_ad.load_dataset("demo")[0]
regions = lvlm_ad.regions.divide(sample.image, "superpixel")
scores = lvlm_ad.text2seg.parse("Image anomaly score: 0.9; regions 3 and 5: 70%.", regions.count)
regions.count, scores.image, dict(scores.regions), scores.status
"""
"""Text and code alternate, text first."""


def notebook() -> str:
    """Return the notebook as JSON."""
    cells = []
    for number, source in enumerate(CELLS.strip().split("\n---\n")):
        lines = source.splitlines(keepends=True)
        cell = {"cell_type": "code" if number % 2 else "markdown", "id": f"cell-{number}", "metadata": {}}
        code = {"execution_count": None, "outputs": []} if number % 2 else {}
        cells.append({**cell, **code, "source": lines})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text(encoding="utf-8") == notebook() else f"{PAGE} is out of date: run {__file__}")
    PAGE.write_text(notebook(), encoding="utf-8")
