"""What can be wrong with what a user gives to `trainables`, as one tree.

TrainableError (ValueError)       what was given can't be used; the message says key or file, rule and value
├── DatasetError                  a dataset.json or a table of cases, or a file that it lists
│   └── DamagedVolumesError       preprocessed volumes that are no longer as they were written
├── SettingError                  a value of the training configuration
└── ModelFileError                a model file
TrainingError (RuntimeError)      a run that started and can't go on
└── NonFiniteLossError            the loss became NaN or infinite
PredictionError (RuntimeError)    an image that can't be labelled on this machine
"""


class TrainableError(ValueError):
    """What the user gave can't be used."""


class DatasetError(TrainableError):
    """A `dataset.json` or a table of cases, or an image or label file that it lists, breaks a rule."""


class DamagedVolumesError(DatasetError):
    """Preprocessed volumes are not whole, or no longer as they were written; they can be made again."""


class SettingError(TrainableError):
    """A value of the training configuration breaks a rule."""


class ModelFileError(TrainableError):
    """A file is not a voxtune model, or is damaged."""


class TrainingError(RuntimeError):
    """A training run that started and can't go on."""


class NonFiniteLossError(TrainingError):
    """The loss became NaN or infinite."""


class PredictionError(RuntimeError):
    """An image can't be labelled on this machine: its memory does not hold it."""


def first_line(error: BaseException) -> str:
    """What `error` says, in a line: the first of its text, or its class's name where it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def check_setting(key: str, value: object, rule: str, holds: bool) -> None:
    """Raises SettingError, `KEY: must be RULE, got VALUE`, unless the rule `holds`."""
    if not holds:
        raise SettingError(f"{key}: must be {rule}, got {value!r}")
