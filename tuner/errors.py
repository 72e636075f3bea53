"""What can go wrong for a user of the application. The command line prints these without a traceback.

    UserError (ValueError)              exit code 2: nothing was started, nothing was changed
    ├── SweepConfigError                a key of a sweep file
    ├── SweepDirectoryError             a sweep's directory: exists, is missing, is no sweep's
    ├── SlotError                       a process that can't run any trial: its data are damaged, its disk is full
    ├── OutputError                     a file to be written exists already, or can't be written there
    └── StudyError                      the study's storage: unreachable, of another space or version
    SweepFailed (RuntimeError)          exit code 1: the sweep ran, and could not go on or no trial gave a result
    SweepInterrupted (RuntimeError)     exit code 130: the user stopped it; it can be resumed

`search_spaces.errors.SpaceError`, `trainables.errors.TrainableError` and `cluster.errors.ClusterError` are user errors
of the rooms below, which cannot import this tree; `USER_ERRORS` gathers them for the command line.
"""

from cluster.errors import ClusterError
from search_spaces.errors import SpaceError
from trainables.errors import TrainableError


class UserError(ValueError):
    """What the user gave can't be used."""


class SweepConfigError(UserError):
    """A key of a sweep file breaks a rule."""


class SweepDirectoryError(UserError):
    """A sweep's directory exists already, is missing, or is no sweep's."""


class SlotError(UserError):
    """No trial can be run any more: what they train on is damaged or can't be put there, or Ray starts nothing."""


class OutputError(UserError):
    """A file that a command is to write exists already, or can't be written there."""


class StudyError(UserError):
    """The study's storage can't be used."""


class SweepFailed(RuntimeError):  # noqa: N818 (a result, not a misuse)
    """The sweep ran, and could not go on, or no trial gave a result."""


class SweepInterrupted(RuntimeError):  # noqa: N818 (the user's wish, not an error)
    """The user stopped the sweep; nothing is lost."""


USER_ERRORS = (UserError, SpaceError, TrainableError, ClusterError)
