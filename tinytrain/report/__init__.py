"""Pictures and pages about a run."""

from tinytrain.report.run_report import RunReport, write_report

__all__ = ["RunReport", "write_report"]
