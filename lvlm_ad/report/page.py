"""Self-contained HTML pages: one file with its style and scripts, which loads nothing from the network."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from lvlm_ad import __version__
from lvlm_ad.compare import p_text
from lvlm_ad.escape import visible
from lvlm_ad.leaderboard import percent, signed
from lvlm_ad.report.interval_words import interval_text

if TYPE_CHECKING:
    from jinja2 import Environment

_ADDRESS = re.compile(r"github\.com/[\w-]+/[\w-]+|arXiv (?P<paper>\d{4}\.\d{5})", re.ASCII)


def _shown(value: Any) -> Any:
    """Return what a template writes: texts show invisible and control characters by their code."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def linked(text: str) -> Markup:
    """Escape a text, and make links of the repositories and arXiv papers that it names."""

    def link(match: re.Match[str]) -> str:
        paper = match["paper"]
        address = f"arxiv.org/abs/{paper}" if paper else match[0]
        return f'<a href="https://{address}" rel="noopener noreferrer">{match[0]}</a>'

    return Markup(_ADDRESS.sub(link, str(escape(visible(text)))))  # nosec B704 # noqa: S704 - escaped


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - slow to import

    environment = Environment(
        loader=PackageLoader("lvlm_ad.report", "templates"),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "signed": signed, "ends": interval_text, "p_value": p_text}
    environment.filters["linked"] = linked
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "allow_nan": False, "separators": (",", ":")}
    return environment


def render(template: str, scripts: Sequence[str] = (), **values: Any) -> str:
    """Fill a template and return the page; texts are escaped.

    The page's content-security policy allows pictures beside the page, the page's own style, and ``scripts``, each by
    its hash. Nothing in a model's answer can run. Template and scripts are files of ``templates/``.
    """
    codes = [_template_file(name) for name in scripts]
    hashes = [base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in codes]
    allowed = " ".join(f"'sha256-{one}'" for one in hashes) or "'none'"
    policy = (
        "default-src 'none'; img-src 'self' file: data:; style-src 'unsafe-inline'; "
        f"script-src {allowed}; base-uri 'none'; form-action 'none'"
    )
    page = _environment().get_template(template)
    return page.render(policy=policy, style=_template_file("page.css"), scripts=codes, version=__version__, **values)


def _template_file(name: str) -> Markup:
    text = (resources.files("lvlm_ad.report") / "templates" / name).read_text(encoding="utf-8")
    return Markup(text)  # nosec B704 # noqa: S704 - our own file
