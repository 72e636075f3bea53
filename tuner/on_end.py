"""Tells a web address how a sweep ended: `on_end:` of the sweep file, read by a chat's webhook or by a program.

Sent by POST as JSON, once the report is written:

    text        one line for people; Slack and Mattermost show it as it is
    sweep       its name
    ended       finished, failed or interrupted, as the exit codes 0, 1 and 130
    error       why it failed, in one line, or null
    best        null, or trial (its number), parameters (all of them) and dice (0 to 1, mean over the confirming seeds)
    trials      how many there are, by Optuna's state: complete, pruned, fail, interrupted
    seconds     that this driver worked on it
    host        where the driver ran
    folder      the sweep's directory there

That it could not be told is a warning, and changes nothing else: the exit code is the sweep's own.
"""

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from trainables.errors import first_line
from tuner.directory import SweepDirectory
from tuner.durations import duration
from tuner.errors import SweepInterrupted
from tuner.quiet import library_messages
from tuner.results import Results, read_results
from tuner.webhook_url import resolved, shown

ANSWER_SECONDS = 10.0
"""How long the address has to answer, its name's look-up included."""

PAUSES = (1.0, 3.0)
"""Seconds before it is tried again."""

INTERRUPTED_SECONDS = 4.0
"""The same for a sweep that was interrupted, of which it is told once: a batch system kills soon after it terminates,
Slurm after 30 s, and ending the search and writing the report take a part of them."""

LONGEST_ERROR = 300
"""Characters of an error that are sent."""

log = logging.getLogger("voxtune")


@contextmanager
def told_at_end(url: str | None, directory: SweepDirectory, *, tell: Callable[[str], None]) -> Iterator[None]:
    """When the block is left, tell `url` how the sweep of this directory ended: by what the block raises, or not.

    Args:
        url: as the sweep file has it; None: nobody is told.
        tell: shows the user a warning.
    """
    if url is None:
        yield
        return
    address = resolved(url)
    began = time.monotonic()

    def told(error: BaseException | None) -> None:
        try:
            tell_it(error)
        except Exception as failure:  # no log file can be opened on a full disk: the sweep's end stands all the same
            tell(f"Warning: on_end: {shown(url)} was not told how the sweep ended: {failure}")

    def tell_it(error: BaseException | None) -> None:
        message = _message(directory, error, seconds=time.monotonic() - began)
        with library_messages(directory.log_file, verbose=False):
            hurried = message["ended"] == "interrupted"
            patience, pauses = (INTERRUPTED_SECONDS, ()) if hurried else (ANSWER_SECONDS, PAUSES)
            if reason := _delivered(address, message, patience=patience, pauses=pauses):
                warning = f"on_end: {shown(url)} was not told how the sweep ended: {reason}"
                log.warning(warning)
                tell(f"Warning: {warning}")

    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        told(error)
        raise
    told(None)


def _message(directory: SweepDirectory, error: BaseException | None, *, seconds: float) -> dict[str, Any]:
    interrupted = isinstance(error, SweepInterrupted | KeyboardInterrupt)
    ended = "interrupted" if interrupted else "failed" if error else "finished"
    results: Results | None = None
    with suppress(Exception):  # no trial was begun, or the study is what failed: the end is told all the same
        results = read_results(directory)
    best = results.best if results else None
    states = list(results.trials["state"]) if results else []
    trials = {state: states.count(state.upper()) for state in ("complete", "pruned", "fail", "interrupted")}
    why = None
    if error is not None and not interrupted:
        why = first_line(error)
        why = why if len(why) <= LONGEST_ERROR else f"{why[:LONGEST_ERROR]}…"
    text = f"Sweep {directory.name} {ended}: {sum(trials.values())} trials in {duration(seconds)}"
    text += f", best Dice {best.score:.4f} (trial {best.number})" if best else ""
    return {
        "text": f"{text}: {why}" if why else text,
        "sweep": directory.name,
        "ended": ended,
        "error": why,
        "best": best and {"trial": best.number, "parameters": dict(best.parameters), "dice": best.score},
        "trials": trials,
        "seconds": round(seconds, 1),
        "host": socket.gethostname(),
        "folder": str(directory.root),
    }


def _delivered(address: str, message: Mapping[str, Any], *, patience: float, pauses: Sequence[float]) -> str | None:
    """Send the message, again after each pause where it did not get there. Returns why it did not in the end.

    Args:
        patience: seconds that the address has to answer.
    """
    body = json.dumps(message, default=str).encode()
    try:
        for pause in (*pauses, None):
            reason = _sent(address, body, patience)
            if reason is None or pause is None:
                break
            time.sleep(pause)
    except KeyboardInterrupt:
        return "interrupted"
    return reason and (f"{reason}, {len(pauses) + 1} times" if pauses else reason)


def _sent(address: str, body: bytes, patience: float) -> str | None:
    """Send it once; why it did not get there, or None. In a thread, since a name's look-up knows no time limit."""
    outcome: list[str | None] = []
    thread = threading.Thread(
        target=lambda: outcome.append(_posted(address, body, patience)), name="on_end", daemon=True
    )
    thread.start()
    thread.join(patience)
    return outcome[0] if outcome else _silent(patience)


def _posted(address: str, body: bytes, patience: float) -> str | None:
    headers = {"Content-Type": "application/json", "User-Agent": "voxtune"}
    request = Request(address, data=body, headers=headers, method="POST")
    try:
        build_opener(_NoRedirect).open(request, timeout=patience).close()
    except HTTPError as error:
        error.close()
        return f"it answered {error.code} {error.reason}"
    except OSError as error:  # URLError too
        cause = getattr(error, "reason", error)
        if isinstance(cause, TimeoutError):  # the socket's own limit came first
            return _silent(patience)
        return str(getattr(cause, "strerror", None) or cause)
    except (HTTPException, ValueError) as error:  # what answers is no web server
        return type(error).__name__
    return None


def _silent(patience: float) -> str:
    return f"no answer within {patience:g} s"


class _NoRedirect(HTTPRedirectHandler):
    """What is posted would be asked for instead at another address; so a redirect counts as an answer."""

    def redirect_request(self, *arguments: Any) -> None:
        return None
