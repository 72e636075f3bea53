"""A toy run for tests of two drivers: both have a share of the trials, however slow the machine."""

import os
import time
from pathlib import Path

from trainables.protocol import Evaluation
from trainables.toy import ToyRun

PLACE = "VOXTUNE_TEST_MEETING"
"""The environment variable that names the folder where the drivers' trials meet."""

DRIVER = "VOXTUNE_TEST_DRIVER"
"""The environment variable that names a driver, and with it its trials."""

PATIENCE = 240.0
"""Seconds that a trial waits for one of the other driver."""


class MeetingRun(ToyRun):
    """A toy run that waits until a trial of each of two drivers has begun."""

    def advance(self, budget: float) -> Evaluation:
        place = Path(os.environ[PLACE])
        (place / os.environ[DRIVER]).touch()
        deadline = time.monotonic() + PATIENCE
        while len(list(place.iterdir())) < 2:
            if time.monotonic() > deadline:
                raise TimeoutError("no trial of another driver has begun")
            time.sleep(0.05)
        return super().advance(budget)
