"""Says what is here and what is wrong with it, and mends what can be mended without losing anything."""

from lvlm_ad.doctor.finding import Finding, State
from lvlm_ad.doctor.folder import folder_findings
from lvlm_ad.doctor.machine import machine_findings

__all__ = ["Finding", "State", "folder_findings", "machine_findings"]
