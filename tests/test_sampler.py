"""Which sampler a sweep file asks for."""

import optuna
import pytest
from optuna.samplers import CmaEsSampler, GPSampler, QMCSampler, RandomSampler, TPESampler

from search_spaces.space import parse_space
from tuner.config import SearchConfig
from tuner.errors import SweepConfigError
from tuner.rung_gp import RungGPSampler
from tuner.sampler import grid, sampler_factory


def search(**settings) -> SearchConfig:
    return SearchConfig.model_validate(settings)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({}, RungGPSampler),
        ({"sampler": None}, RungGPSampler),
        ({"sampler": "gp"}, RungGPSampler),
        ({"objectives": ["dice", "peak_gib"], "stop_early": False}, TPESampler),
        ({"sampler": "tpe"}, TPESampler),
        ({"sampler": "optuna.samplers:GPSampler"}, GPSampler),
        ({"sampler": "random"}, RandomSampler),
        ({"sampler": "grid"}, RandomSampler),
        ({"sampler": "quasi-random"}, QMCSampler),
        ({"sampler": "optuna.samplers:CmaEsSampler"}, CmaEsSampler),
    ],
)
@pytest.mark.filterwarnings("error")  # that some are experimental is no matter of the user's
def test_each_name_makes_its_sampler(settings, kind):
    assert type(sampler_factory(search(**settings), slots=2)(0)) is kind


@pytest.mark.parametrize(
    ("settings", "slots", "startup"),
    [
        ({"trials": 100}, 8, 16),  # two a slot
        ({"trials": 16}, 8, 8),  # half of the trials
        ({"trials": 100}, 2, 12),  # 12 at least
        ({"trials": 16}, 2, 8),
        ({"trials": None, "minutes": 5}, 8, 16),
        ({"trials": 100, "startup_trials": 3}, 8, 3),
        ({"trials": 100, "startup_trials": 3, "sampler_options": {"n_startup_trials": 5}}, 8, 5),
        ({"trials": 100, "sampler": "tpe"}, 2, 8),
    ],
)
def test_random_start(settings, slots, startup):
    assert sampler_factory(search(**settings), slots=slots)(0)._n_startup_trials == startup


def test_trials_draw_differently_and_the_same_ones_alike():
    make = sampler_factory(search(seed=4), slots=1)
    space = {"x": optuna.distributions.FloatDistribution(0, 1)}
    drawn = [optuna.create_study(sampler=make(number)).ask(space).params["x"] for number in (0, 1, 1)]
    assert drawn[0] != drawn[1] == drawn[2]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampler": "tpe", "sampler_options": {"gama": 3}}, "sampler_options: not taken by the sampler tpe: .*'gama'"),
        ({"sampler_options": {"n_candidates": 1}}, "not taken by the sampler gp: n_candidates must .* 2; got 1"),
        (
            {"sampler": "nowhere:Sampler"},
            "search.sampler: nowhere:Sampler can't be imported: No module named 'nowhere'",
        ),
        ({"sampler": "optuna.samplers:Nothing"}, "search.sampler: optuna.samplers:Nothing can't be imported"),
        ({"sampler": "pathlib:Path"}, "search.sampler: must be a subclass of BaseSampler; pathlib:Path is none"),
        ({"sampler": "os:getcwd"}, "search.sampler: must be a subclass of BaseSampler; os:getcwd is no class"),
    ],
)
def test_what_can_not_be_made_is_told(settings, message):
    with pytest.raises(SweepConfigError, match=message):
        sampler_factory(search(**settings), slots=1)


def test_a_grid_holds_every_combination_once_each_a_point_of_the_space():
    space = parse_space({"beta": {"float": [0, 0.3], "step": 0.1}, "width": {"int": [8, 16], "step": 4}, "cut": 0.5})
    points = list(grid(space, seed=0))
    assert sorted((point["beta"], point["width"]) for point in points) == [
        (beta, width) for beta in (0.0, 0.1, 0.2, 0.3) for width in (8, 12, 16)
    ]
    for point in points:
        space.validate_part(point)


def test_a_seed_gives_a_grid_its_order():
    space = parse_space({"batch_size": {"choice": [2, 4, 8]}, "width": {"int": [8, 32], "step": 4}})
    first, again, other = (list(grid(space, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other
