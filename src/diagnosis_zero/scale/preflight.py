"""What would stop verl, found before Ray starts: packages, options (by verl's own validation), batches, GPUs."""

from __future__ import annotations

import contextlib
import io
import os
import socket
from collections.abc import Iterator, Sequence
from importlib import metadata, util
from pathlib import Path
from typing import Any

from diagnosis_zero.errors import InputError
from diagnosis_zero.scale.options import Options, written

OLDEST, BELOW = (0, 9), (0, 10)
"""Versions of verl that the option names are those of: at least, and below."""
INSTALL = "pip install 'diagnosis-zero[verl]' (docs/scale.md, \"Install\": it wants an environment of its own)"
RUNNING_CLUSTER = Path("/tmp/ray/ray_current_cluster")  # noqa: S108 - where Ray itself notes it
PATIENCE = 5.0
"""Seconds to wait for the head node of a Ray cluster to answer."""


def check(chosen: Options) -> Any:
    """verl's configuration, composed and found valid.

    Raises:
        InputError: the first thing that is wrong, and how to mend it.
    """
    need_verl()
    config = composed(chosen)
    _need_packages(config)
    validate(config)
    divides(config)
    enough_gpus(config.trainer.nnodes, config.trainer.n_gpus_per_node, gpus_of_nodes(config))
    return config


def has_verl() -> bool:
    """Whether verl is there to judge options."""
    return util.find_spec("verl") is not None


def need_verl() -> None:
    """verl and what it needs and does not declare, in a version whose options these are."""
    for package, module in (("verl", "verl"), ("TransferQueue", "transfer_queue"), ("ray", "ray")):
        if util.find_spec(module) is None:
            raise InputError(f"--engine verl needs the package {package}", mend=f"Run: {INSTALL}")
    found = metadata.version("verl")
    if not OLDEST <= tuple(map(int, found.split(".")[:2])) < BELOW:
        raise InputError(f"verl {found} is installed, and its options may differ", mend="Install verl 0.9: " + INSTALL)


def _need_packages(config: Any) -> None:
    rollout, model = config.actor_rollout_ref.rollout, config.actor_rollout_ref.model
    if rollout.name == "vllm" and util.find_spec("vllm") is None:
        mend = "Install vLLM as verl's documentation says, or set verl.actor_rollout_ref.rollout.name."
        raise InputError("verl's rollout engine is vllm, which is not installed", mend=mend)
    attention = model.override_config.get("attn_implementation", "flash_attention_2")
    if attention.startswith("flash_attention") and util.find_spec("flash_attn") is None:
        key = '"+actor_rollout_ref.model.override_config.attn_implementation"'
        mend = f"Install flash-attn, or put {key} = 'sdpa' and actor_rollout_ref.model.use_remove_padding = false "
        raise InputError(f"verl's model would use {attention}, which is not installed", mend=mend + "into [verl].")
    optimizer = config.actor_rollout_ref.actor.optim.optimizer_impl
    if util.find_spec(optimizer.split(".")[0]) is None:
        mend = f"Run: pip install {optimizer.split('.')[0]} (on every node), or set train.optimizer = 'adamw'."
        raise InputError(f"verl's optimizer is from {optimizer}, which is not installed", mend=mend)


def composed(chosen: Options) -> Any:
    """verl's defaults with the options put over them, as its entry point does."""
    import verl
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException

    folder = str(Path(verl.__file__).parent / "trainer" / "config")
    try:
        with initialize_config_dir(config_dir=folder, version_base=None):
            return compose("ppo_trainer", [f"{key}={written(value)}" for key, value in chosen.items()])
    except HydraException as error:
        said = " ".join(str(error.__cause__ or error).split())
        mend = "Mend the [verl] table. A key that verl leaves open is added by a leading +, in quotes."
        raise InputError(f"verl does not know an option: {said}", mend=mend) from error


def validate(config: Any) -> None:
    """verl's own validation, and its dataclasses, which know more of types than its YAML."""
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import omega_conf_to_dataclass, validate_config

    try:
        with contextlib.redirect_stdout(io.StringIO()):
            validate_config(config, need_reference_policy(config), need_critic(config))
            for part in (config.actor_rollout_ref.rollout, config.actor_rollout_ref.model, config.algorithm):
                omega_conf_to_dataclass(part)
    except Exception as error:  # verl asserts, Hydra wraps, transformers has its own: all say what is wrong
        said = " ".join(str(error.__cause__ or error).split())
        raise InputError(f"verl refuses these options: {said}", mend="Mend the recipe or its [verl] table.") from error


def divides(config: Any) -> None:
    """What verl would pad or refuse only once its workers are up."""
    gpus = config.trainer.nnodes * config.trainer.n_gpus_per_node
    samples = config.actor_rollout_ref.actor.ppo_mini_batch_size * config.actor_rollout_ref.rollout.n
    if samples % gpus:
        mend = "Change rollout.prompts, rollout.group, train.minibatches or the number of GPUs."
        raise InputError(f"{samples} completions of an update do not divide among {gpus} GPUs", mend=mend)
    tensor_parallel = config.actor_rollout_ref.rollout.tensor_model_parallel_size
    if gpus % tensor_parallel:
        mend = "Set verl.actor_rollout_ref.rollout.tensor_model_parallel_size to a divisor of it."
        raise InputError(f"a tensor-parallel size of {tensor_parallel} does not divide {gpus} GPUs", mend=mend)


def enough_gpus(nodes: int, each: int, found: Sequence[float]) -> None:
    """``found``: the GPUs of every node that Ray would have."""
    fitting = sum(gpus >= each for gpus in found)
    if fitting < nodes:
        there = f"{len(found)} node(s) with {', '.join(f'{gpus:g}' for gpus in found)} GPUs" if found else "no node"
        mend = "Set verl.trainer.nnodes and verl.trainer.n_gpus_per_node, or let more nodes join (ray start)."
        raise InputError(f"the recipe wants {nodes} node(s) of {each} GPUs, there is {there}", mend=mend)


def gpus_of_nodes(config: Any) -> list[float]:
    """Of the cluster that Ray would join; of this machine, where it would start its own."""
    address = _address()
    if address is not None:
        return list(_of_cluster(address))
    declared = config.ray_kwargs.ray_init.get("num_gpus")
    if declared is not None:
        return [float(declared)]
    import torch

    return [float(torch.cuda.device_count())]


def _address() -> str | None:
    """Where ``ray.init()`` would look for a cluster, in its own order."""
    if address := os.environ.get("RAY_ADDRESS"):
        return None if address == "local" else address
    return RUNNING_CLUSTER.read_text(encoding="utf-8").strip() if RUNNING_CLUSTER.is_file() else None


def _of_cluster(address: str) -> Iterator[float]:
    import ray

    _answers(address)
    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    try:
        for node in ray.nodes():
            if node["Alive"]:
                yield float(node["Resources"].get("GPU", 0))
    finally:
        ray.shutdown()


def _answers(address: str) -> None:
    """Ray itself would wait for minutes, and then say little."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
    except OSError as error:
        mend = "Start the head node (ray start --head), mend RAY_ADDRESS, or unset it to use this machine alone."
        raise InputError(f"no Ray cluster answers at {address} ({error})", mend=mend) from error
