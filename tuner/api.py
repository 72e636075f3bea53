"""The names for scripts and notebooks: `from tuner.api import ...`.

config = SweepConfig.read(Path("sweep.yaml"))
results = run_sweep(config, view=View())  # in a notebook shown as a table that follows it
watch("heart")                           # the same of a sweep that another process runs
results.trials.sort_values("score")      # pandas DataFrames: trials, curves, cases, confirmed
results.best.parameters
write_report(SweepDirectory.find("heart")).html
write_comparison([SweepDirectory.find(name) for name in ("heart", "heart-2")]).html
"""

from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.draft import draft_sweep
from tuner.report import write_report
from tuner.report_comparison import write_comparison
from tuner.results import Results, read_results
from tuner.status import SweepStatus, read_status
from tuner.sweep import resume_sweep, run_sweep
from tuner.train import train_config
from tuner.view import View
from tuner.watch import watch

__all__ = [
    "Results",
    "SweepConfig",
    "SweepDirectory",
    "SweepStatus",
    "View",
    "draft_sweep",
    "read_results",
    "read_status",
    "resume_sweep",
    "run_sweep",
    "train_config",
    "watch",
    "write_comparison",
    "write_report",
]
