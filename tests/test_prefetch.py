"""Batches drawn ahead are the batches that would be drawn, also after a resume."""

import pytest
import torch
from make_volumes import write_blobs

from trainables.augmentation import Augmentation
from trainables.patches import PatchSampler
from trainables.prefetch import PrefetchingSampler
from trainables.volumes import Volumes


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Volumes:
    return write_blobs(tmp_path_factory.mktemp("prefetch") / "volumes")


def sampler(volumes: Volumes) -> PatchSampler:
    return PatchSampler(
        volumes,
        volumes.names,
        patch_size=(8, 8, 8),
        batch_size=2,
        foreground_fraction=0.5,
        augmentation=Augmentation(tilt=10.0, noise=0.1),
        seed=0,
    )


def test_the_stream_is_that_of_its_sampler(volumes: Volumes) -> None:
    plain, ahead = sampler(volumes), PrefetchingSampler(sampler(volumes))
    for _ in range(6):
        assert all(torch.equal(a, b) for a, b in zip(plain.draw(), ahead.draw(), strict=True))


def test_the_state_counts_what_was_taken(volumes: Volumes) -> None:
    ahead = PrefetchingSampler(sampler(volumes))
    assert ahead.state_dict() == {"drawn": 0}
    for _ in range(3):
        ahead.draw()
    state = ahead.state_dict()
    assert state == {"drawn": 3}
    expected = [ahead.draw() for _ in range(2)]

    ahead.load_state_dict(state)  # back, with a batch drawn ahead
    resumed = PrefetchingSampler(sampler(volumes))
    resumed.load_state_dict(state)

    for batch in expected:
        for again in (ahead.draw(), resumed.draw()):
            assert all(torch.equal(a, b) for a, b in zip(batch, again, strict=True))
    assert ahead.state_dict() == {"drawn": 5}


def test_an_error_of_the_thread_is_raised_where_the_batch_is_taken(
    volumes: Volumes, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = sampler(volumes)
    ahead = PrefetchingSampler(source)
    monkeypatch.setattr(source, "_augmentation", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ahead.draw()
