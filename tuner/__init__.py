"""The application: sweeps as Ray Tune runs over one Optuna study, their results, report and command line."""
