"""A static site made from a folder of runs: pages, feeds and exports."""

from __future__ import annotations

from lvlm_ad.site.build import SiteOptions, find_studies, write_site
from lvlm_ad.site.folder import check_folder
from lvlm_ad.site.permissions import Permissions

__all__ = ["Permissions", "SiteOptions", "check_folder", "find_studies", "write_site"]
