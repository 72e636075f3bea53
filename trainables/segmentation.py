"""Trains a segmentation network from rung to rung of a budget: the run behind every trial and `voxtune train`."""

from collections.abc import Mapping, Sequence
from math import ceil, prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainables.averaging import WeightAverage
from trainables.device import device_name, use_device
from trainables.errors import NonFiniteLossError
from trainables.evaluation import score_cases, segment_cases
from trainables.graphed_step import GraphedStep
from trainables.loss_watch import LossWatch
from trainables.losses import SegmentationLoss
from trainables.memory import estimate_memory
from trainables.memory_limit import MemoryMeter
from trainables.model_file import Model, save_model
from trainables.networks import NetworkConfig, build_network, check_patch
from trainables.optimisation import learning_rate_factor
from trainables.patches import PatchSampler
from trainables.picture import overlay
from trainables.precision import MOST_MEMORY_FIRST, resolve_precision
from trainables.prefetch import PrefetchingSampler
from trainables.protocol import Budget, Evaluation
from trainables.resident import ResidentVolumes, resident_volumes, room_gib
from trainables.segmentation_config import SegmentationConfig
from trainables.spent import Spent
from trainables.targets import Targets
from trainables.training_step import HostLead, TrainingStep
from trainables.volumes import Volumes
from trainables.work import step_cost
from trainables.workers import Workers, share_statistics


def check_parameters(
    parameters: Mapping[str, Any], *, spacing: tuple[float, float, float], channels: int, targets: Targets
) -> None:
    """Raises SettingError where no run could train with `parameters` on volumes of `spacing` (mm) and `channels`.

    Costs microseconds: nothing is built or read.
    """
    config = SegmentationConfig.from_mapping(parameters)
    _network_config(config, spacing=spacing, channels=channels, targets=targets)


class SegmentationRun:
    """One network in training, and what it takes to go on; see trainables.protocol.TrainingRun.

    With the same parameters, data, seed, device and number of threads a run on a CPU gives the same Dice, wherever its
    rungs lie and however often it was interrupted in between. (A budget in seconds excepted.)
    """

    def __init__(
        self, parameters: Mapping[str, Any], *, data: Mapping[str, Any], budget: Budget, seed: int, device: str
    ) -> None:
        """`parameters`: settings of SegmentationConfig. `data`: `volumes`, the folder of preprocessed volumes; `train`
        and `validation`, names of cases; `threads` of the CPU, None for torch's own choice; `memory_limit_gib`, above
        which the run ends with torch.OutOfMemoryError, None for what there is; `formats`, by the device's name what
        `auto` is: a `precision`, and for each precision a `memory_format`; `workers`, where several processes train
        together, the arguments of Workers.

        Raises SettingError where a parameter breaks a rule or the device lacks the precision.
        """
        if data.get("threads"):
            torch.set_num_threads(data["threads"])
        self._workers = workers = Workers(**data.get("workers", {}))
        self._asked = SegmentationConfig.from_mapping(parameters)
        self._config = config = self._asked.for_workers(workers.count)
        self._volumes = volumes = Volumes(Path(data["volumes"]))
        self._validation = list(data["validation"])
        self._budget = budget
        self._seed = seed
        self._device = torch.device(device)
        use_device(self._device)
        measured = data.get("formats", {}).get(device_name(self._device), {})
        self._precision = resolve_precision(_settled(config.precision, measured.get("precision")), self._device)
        layouts = measured.get("memory_format", {})
        self._memory_format = _settled(config.memory_format, layouts.get(self._precision.name))
        self._memory = MemoryMeter(self._device, data.get("memory_limit_gib"))

        self.network_config = network_for(config, volumes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._network = build_network(self.network_config, self._device, memory_format=self._memory_format)
        if workers.count > 1 and config.shared_normalisation:
            share_statistics(self._network)
        self._average = WeightAverage(self._network, config.weight_averaging) if config.weight_averaging else None
        self._step = step = TrainingStep(
            self._network,
            config.build_optimizer(self._network.parameters()),
            SegmentationLoss(config.loss, volumes.targets.regions),
            self._precision,
            gradient_clip=config.gradient_clip,
            micro_batch=config.micro_batch,
            workers=workers,
            whole_batch=config.batch_size,
        )
        # A step in which workers wait for one another is not captured: where one fails to, the others would wait.
        self._train_by = GraphedStep(step) if self._device.type == "cuda" and workers.count == 1 else step
        self._resident = self._resident_volumes(parameters, data) if self._device.type == "cuda" else None
        self._sampler = self._patch_sampler(data["train"])
        self._step_cost = step_cost(budget.unit, self.network_config, config.patch_size, config.batch_size)
        self._steps = 0
        self._passes = 0
        self._spent = Spent()
        self._mean_loss = float("nan")

    @staticmethod
    def estimate_memory(parameters: Mapping[str, Any], *, data: Mapping[str, Any], device: str) -> float:
        """Peak GiB of a run with these arguments; see `trainables.memory`. Raises SettingError."""
        volumes = Volumes(Path(data["volumes"]))
        count = Workers(**data.get("workers", {})).count
        if count > 1:
            batch = SegmentationConfig.from_mapping(parameters).for_workers(count).batch_size
            parameters = {**parameters, "batch_size": ceil(batch / count)}
        measured = {usual["precision"] for usual in data.get("formats", {}).values()}
        if measured and parameters.get("precision", "auto") == "auto":
            # Where devices differ, the one that takes the most memory.
            parameters = {**parameters, "precision": min(measured, key=MOST_MEMORY_FIRST.index)}
        return estimate_memory(
            parameters,
            spacing=volumes.plan.spacing,
            channels=volumes.channels,
            targets=volumes.targets,
            device=device,
            validation={volumes.shapes[name] for name in data["validation"]},
        ).peak_gib

    def advance(self, budget: float) -> Evaluation:
        """Train until `budget` is used, then segment the validation cases.

        The score is the mean over the classes of each class's mean Dice over the cases; `dice_score` says what an
        absent class counts. Raises NonFiniteLossError, and torch.OutOfMemoryError.
        """
        self._train(budget)
        return self._evaluate()

    def state_dict(self) -> dict[str, Any]:
        """A snapshot, on the CPU: training may go on without changing it."""
        return _to_host(
            {
                "network": self._network.state_dict(),
                "average": self._average.state_dict() if self._average else None,
                **self._step.state_dict(),
                "sampler": self._sampler.state_dict(),
                "steps": self._steps,
                **self._spent.state_dict(),
                "mean_loss": self._mean_loss,
            }
        )

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._network.load_state_dict(state["network"])
        if self._average:
            self._average.load_state_dict(state["average"])
        self._train_by.load_state_dict(state)
        self._sampler.load_state_dict(state["sampler"])
        self._steps = state["steps"]
        self._spent.load_state_dict(state)
        self._mean_loss = state["mean_loss"]

    def save_model(self, path: Path) -> None:
        """Write the network as it was last evaluated to `path`, with all that predicting takes."""
        model = Model(
            network=self.network_config,
            weights=self._evaluated_network.state_dict(),
            plan=self._volumes.plan,
            targets=self._volumes.targets,
            modalities=self._volumes.modalities,
            intensities=self._volumes.intensities,
            patch_size=self._config.patch_size,
            training={
                **self._asked.to_mapping(),
                "precision": self._precision.name,
                "memory_format": self._memory_format,
            },
        )
        save_model(path, model)

    @property
    def _evaluated_network(self) -> torch.nn.Module:
        return self._average.network if self._average else self._network

    @property
    def used(self) -> float:
        """Training so far, in the budget's unit."""
        return self._spent.training if self._step_cost is None else self._steps * self._step_cost

    @property
    def progress(self) -> tuple[int, int]:
        """Steps of training and passes of windows so far."""
        return self._steps, self._passes

    def _resident_volumes(self, parameters: Mapping[str, Any], data: Mapping[str, Any]) -> ResidentVolumes | None:
        return resident_volumes(
            self._volumes,
            [*data["train"], *data["validation"]],
            self._device,
            run_gib=self.estimate_memory(parameters, data=data, device=str(self._device)),
            room_gib=room_gib(self._device, data.get("memory_limit_gib")),
        )

    def _patch_sampler(self, names: Sequence[str]) -> PatchSampler | PrefetchingSampler:
        config = self._config
        sampler = PatchSampler(
            self._resident or self._volumes,
            list(names),
            patch_size=config.patch_size,
            batch_size=config.batch_size,
            foreground_fraction=config.foreground_fraction,
            augmentation=config.augmentation(spacing=self._volumes.plan.spacing),
            seed=self._seed,
            device=self._device,
            part=self._workers.part(config.batch_size),
        )
        # On a CPU the thread that draws would take the time from those that train.
        return PrefetchingSampler(sampler) if self._device.type == "cuda" else sampler

    def _passed(self) -> None:
        self._passes += 1

    def _train(self, budget: float) -> None:
        first = self._steps
        lead = HostLead()
        losses = LossWatch(self._device, self._loss_error)
        self._network.train()
        while self.used < budget:
            with self._spent.on("training"):
                loss = self._next_step()
                self._steps += 1
                self._memory.check()
                losses.add(loss)
                if self._step_cost is None:
                    lead.wait(self._device)  # a budget in seconds means the device's
        if self._steps > first:
            with self._spent.on("training"):
                self._mean_loss = losses.mean()
                self._step.check_scale()
                self._spent.count_exchange()

    def _next_step(self) -> Tensor:
        """One step of the optimizer. Returns the loss, on the device."""
        # The middle of the step, so that neither the first nor the last one has a learning rate of 0.
        progress = (self.used + (self._step_cost or 0.0) / 2) / self._budget.maximum
        factor = learning_rate_factor(self._config.schedule, min(progress, 1.0), self._config.warmup)
        if self._config.dropout:
            # Seeded by step: what was drawn before, by whom, and whether the run was resumed, is then of no account.
            rank = (self._workers.rank,) if self._workers.rank else ()
            torch.manual_seed(int(np.random.SeedSequence((self._seed, self._steps, *rank)).generate_state(1)[0]))

        with self._spent.on("data"):
            image, label = self._sampler.draw()
        loss = self._train_by(image, label, learning_rate=self._config.learning_rate * factor)
        if self._average:
            self._average.update(self._network)
        return loss

    def _loss_error(self, loss: float) -> NonFiniteLossError:
        return NonFiniteLossError(
            f"the loss became {loss} by step {self._steps}, after {self.used:g} of "
            f"{self._budget.maximum:g} {self._budget.unit} of training; try a lower learning_rate"
        )

    def _evaluate(self) -> Evaluation:
        with self._spent.on("evaluation"):
            if isinstance(self._train_by, GraphedStep):
                self._train_by.release()
            self._workers.same_buffers(self._evaluated_network)
            found = segment_cases(
                self._evaluated_network,
                self._volumes,
                self._validation[self._workers.rank :: self._workers.count],
                config=self._config,
                strides=self.network_config.strides,
                device=self._device,
                precision=self._precision,
                resident=self._resident,
                passed=self._passed,
            )
            cases = self._workers.gathered(score_cases(found, self._volumes), self._validation)
            self._memory.check()
            names = self._volumes.targets.names
            dice = {name: float(np.mean([scores[name] for scores in cases.values()])) for name in names}
            picture = self._picture(found)
        return Evaluation(
            score=float(np.mean(list(dice.values()))),
            budget_used=self.used,
            steps=self._steps,
            training_seconds=self._spent.training,
            evaluation_seconds=self._spent.evaluation,
            metrics={"loss": self._mean_loss, **{f"dice_{name}": score for name, score in dice.items()}},
            cases=cases,
            picture=picture,
            facts={
                "voxels": self._steps * self._config.batch_size * prod(self._config.patch_size),
                "data_seconds": self._spent.data,
                "exchange_seconds": self._spent.exchange,
                "peak_gib": self._memory.peak_gib,
                "parameters": sum(parameter.numel() for parameter in self._network.parameters()),
                "precision": self._precision.name,
                "memory_format": self._memory_format,
                "skipped_steps": self._step.skipped(),
                "no_graph": getattr(self._train_by, "failure", None),
                "device": device_name(self._device),
            },
        )

    def _picture(self, found: Mapping[str, np.ndarray]) -> bytes | None:
        """Of the first case: the same one at every rung and in every trial. The first worker has it."""
        name = self._validation[0]
        if name not in found:
            return None
        volume, spacing = self._volumes[name], self._volumes.plan.spacing
        label = np.asarray(volume.label)
        return overlay(volume.image, label, found[name], targets=self._volumes.targets, spacing=spacing)


def network_for(config: SegmentationConfig, volumes: Volumes) -> NetworkConfig:
    """The network that a run with `config` trains on `volumes`. Raises SettingError where none can be."""
    return _network_config(config, spacing=volumes.plan.spacing, channels=volumes.channels, targets=volumes.targets)


def _settled(setting: str, measured: str | None) -> str:
    """A setting, or what it is if it is `auto` and that was measured."""
    return measured if setting == "auto" and measured else setting


def _network_config(
    config: SegmentationConfig, *, spacing: tuple[float, float, float], channels: int, targets: Targets
) -> NetworkConfig:
    network = config.network_config(spacing=spacing, in_channels=channels, out_channels=targets.channels)
    check_patch(config.patch_size, network.strides)
    return network


def _to_host(state: Any) -> Any:
    """A copy of nested containers with their tensors cloned to the CPU."""
    if isinstance(state, Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, Mapping):
        return {key: _to_host(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return [_to_host(value) for value in state]
    return state
