"""Classes of one's own that give what they must not, or raise what they should not: the command ends with one line."""

import re

import pytest

from lvlm_ad.errors import PluginError
from lvlm_ad.plugins import load_plugin


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return Answer('0.5', 'weird')", "the outcome 'weird'"),
        ("return Answer('0.5', seconds=float('nan'))", "nan seconds"),
        ("return Answer(None)", "NoneType as text"),
        ("raise SystemExit(7)", "SystemExit: 7"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt, though nobody pressed Ctrl-C"),
    ],
)
def test_an_answer_that_cannot_be_ends_with_one_line(body, says, kept_data, tmp_path, lvlm_ad_command):
    """Neither a traceback nor silence: the class's name and what it gave."""
    source = f"from lvlm_ad.backend import Answer\nclass Odd:\n    def answer(self, request):\n        {body}\n"
    (tmp_path / "odd.py").write_text(source)
    done = lvlm_ad_command(
        *("bench", "--model", "odd.py", "--limit", "1", "--no-frame", "--data", kept_data),
        *("--division", "grid", "--set", "image_size=96", "--set", "max_retries=0"),
    )
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("body", ["sys.exit(7)", "raise KeyboardInterrupt", "raise ValueError('odd')"])
def test_answers_together_that_end_the_process_end_with_one_line(body, kept_data, tmp_path, lvlm_ad_command):
    """As those of ``answer``: nobody waits for a thread that is gone."""
    source = f"import sys\nclass Odd:\n    def answer_many(self, requests):\n        {body}\n"
    (tmp_path / "odd.py").write_text(source)
    done = lvlm_ad_command(
        *("bench", "--model", "odd.py", "--limit", "1", "--no-frame", "--data", kept_data),
        *("--division", "grid", "--set", "image_size=96", "--set", "max_retries=0"),
    )
    assert done.returncode == 2, done.stderr
    assert "the backend Odd raised " in done.stderr
    assert "(odd.py, line 4)" in done.stderr
    assert "Traceback" not in done.stderr


MAP = "np.zeros(view.image.shape[:2], np.float32)"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return (0.5, 1)", "must return DenseScores"),
        ("return None", "must return DenseScores"),
        ("raise SystemExit(7)", "SystemExit: 7"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise ValueError('odd')", "ValueError: odd"),
        ("import fancylib_of_nobody", "needs the module 'fancylib_of_nobody'"),
        (f"return DenseScores(0.5, {MAP}.tolist())", "gave a map that is list; it must be an array of floats"),
        (
            f"return DenseScores(0.5, {MAP}[..., None])",
            "gave a map of shape (96, 96, 1); it must be the image's (96, 96)",
        ),
        (f"return DenseScores('0.5', {MAP})", "gave '0.5' as image score; it must be a float"),
        (f"return DenseScores(0.5, {MAP}, parts={{'a': 1}})", "as parts; they must be a tuple of floats"),
        (f"return DenseScores(0.5, {MAP}, parts=(0.5,))", "gave parts, and has no finalize_category()"),
    ],
)
def test_a_score_that_is_none_ends_with_one_line(body, says, kept_data, tmp_path, lvlm_ad_command):
    """The same of a baseline, with what it gave."""
    head = "import numpy as np\nfrom lvlm_ad.baseline import DenseScores\n"
    (tmp_path / "odd.py").write_text(f"{head}class Odd:\n    def score(self, view):\n        {body}\n")
    done = lvlm_ad_command(
        *("bench", "--model", "odd.py", "--limit", "1", "--no-frame", "--data", kept_data),
        *("--division", "grid", "--set", "image_size=96"),
    )
    assert done.returncode == 2, done.stderr
    assert "The baseline odd" in done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("body", ["raise ValueError('odd')", "return None", "return [2.0 for _ in parts]"])
def test_a_category_that_cannot_be_settled_ends_with_one_line(body, kept_data, tmp_path, lvlm_ad_command):
    """Whatever ``finalize_category`` does."""
    (tmp_path / "odd.py").write_text(
        "import numpy as np\nfrom lvlm_ad.baseline import DenseScores\n"
        f"class Odd:\n    def score(self, view): return DenseScores(0.5, {MAP}, parts=(0.5,))\n"
        f"    def finalize_category(self, parts): {body}\n"
    )
    done = lvlm_ad_command(
        *("bench", "--model", "odd.py", "--limit", "1", "--no-frame", "--data", kept_data),
        *("--division", "grid", "--set", "image_size=96"),
    )
    assert done.returncode == 2, done.stderr
    assert re.search(r"(bolt|nut1): finalize_category\(\)", done.stderr)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("capabilities = 'many'", "capabilities is 'many'"),
        ("Options = dict", "Options is <class 'dict'>"),
        (
            "Options = own(max_retries=(int, 3))",
            "the option 'max_retries' is one that every model has; call it something else",
        ),
        ("Options = own(description=(str, 'x'))", "the option 'description'"),
        ("Options = own(price_input=(float, 0.5))", "the option 'price_input'"),
    ],
)
def test_members_of_the_wrong_kind_are_refused(line, says, tmp_path):
    """What the framework reads of a class must be what it takes it for."""
    head = (
        "from pydantic import create_model\nfrom lvlm_ad.backend import BackendOptions\n"
        "def own(**fields): return create_model('Own', __base__=BackendOptions, **fields)\n"
    )
    (tmp_path / "odd.py").write_text(f"{head}class Odd:\n    {line}\n    def answer(self, request): return ''\n")
    with pytest.raises(PluginError, match=re.escape(says)):
        load_plugin("backend", str(tmp_path / "odd.py"))
