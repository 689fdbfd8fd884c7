"""A static site made from a folder of runs: pages, feeds and exports."""

from __future__ import annotations

__all__: list[str] = []
