"""Keeps the libraries' messages out of the user's way: in the log file, on the terminal only if asked."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LIBRARIES = ("ray", "optuna", "voxtune", "py.warnings")


@contextmanager
def library_messages(log_file: Path, *, verbose: bool) -> Iterator[None]:
    """Have what Ray, Optuna and we log appended to `log_file`; on the terminal too if `verbose`."""
    import optuna

    log_file.parent.mkdir(parents=True, exist_ok=True)
    to_file = logging.FileHandler(log_file)
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    before = [(logger, logger.level, logger.propagate) for logger in loggers]
    if not verbose:
        optuna.logging.disable_default_handler()
    logging.captureWarnings(True)
    for logger in loggers:
        logger.addHandler(to_file)
        logger.setLevel(logging.INFO)
        logger.propagate = verbose
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            yield
    finally:
        for logger, level, propagate in before:
            logger.removeHandler(to_file)
            logger.setLevel(level)
            logger.propagate = propagate
        logging.captureWarnings(False)
        if not verbose:
            optuna.logging.enable_default_handler()
        to_file.close()
