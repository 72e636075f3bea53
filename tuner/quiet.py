"""Keeps the libraries' messages out of the user's way: in the log file, on the terminal only if asked."""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tuner.inert import inert

LEVELS = {
    "voxtune": logging.INFO,
    "ray": logging.WARNING,
    "optuna": logging.WARNING,
    "py.warnings": logging.WARNING,
    # Warns at the end of every search that Tune's own result files are missing: our results are in the study.
    "ray.tune.analysis.experiment_analysis": logging.ERROR,
    # Warns on Ctrl-C, and advises Tuner.restore: a sweep is resumed from its study.
    "ray.tune.tune": logging.ERROR,
}
"""What is kept of each logger."""

MOMENT = "%Y-%m-%d %H:%M:%S%z"
"""With the zone: the log holds lines of all drivers of a sweep, of whatever host or container."""


@contextmanager
def library_messages(log_file: Path | None, *, verbose: bool) -> Iterator[None]:
    """Have the libraries' warnings, and all that we log, appended to `log_file`; nothing of it reaches the terminal.

    Args:
        log_file: None keeps nothing.
        verbose: whether the libraries' smaller news goes to the log too, and all of it to the terminal.
    """
    # These give their loggers a terminal handler when they are imported: here, to be taken off below.
    import optuna  # noqa: F401
    import ray  # noqa: F401

    root = logging.getLogger()
    handlers: list[logging.Handler] = [_log_handler(log_file)]
    if verbose:
        handlers.append(_Terminal())
    loggers = [logging.getLogger(name) for name in LEVELS]
    before = [(logger, logger.level, logger.propagate, logger.handlers[:]) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.INFO if verbose else LEVELS[logger.name])
        # Through the root logger, because ray.init takes all handlers off Ray's own.
        logger.propagate = True
        logger.handlers.clear()
    for handler in handlers:
        root.addHandler(handler)
    logging.captureWarnings(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            yield
    finally:
        logging.captureWarnings(False)
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()
        for logger, level, propagate, own in before:
            logger.setLevel(level)
            logger.propagate = propagate
            logger.handlers[:] = own


class _Terminal(logging.Handler):
    """Writes to what is standard error at that moment: a live table diverts it to print above itself."""

    def emit(self, record: logging.LogRecord) -> None:
        print(inert(self.format(record)), file=sys.stderr)


class _LogFile(logging.FileHandler):
    """Gives up a message that it can't write: on a full disk its complaints would hide what the sweep has to say."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        pass

    def close(self) -> None:
        with suppress(OSError):  # it writes what is left
            super().close()


def _log_handler(log_file: Path | None) -> logging.Handler:
    if log_file is None:
        return logging.NullHandler()  # without any handler, logging would print warnings
    log_file.parent.mkdir(parents=True, exist_ok=True)
    handler = _LogFile(log_file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", MOMENT))
    return handler
