"""verl 0.9 on a machine without GPUs, for tests: a platform, a rollout engine and two patches.

verl loads this module in every process of a run: VERL_USE_EXTERNAL_MODULES=verl_on_cpu, VERL_PLATFORM=cpu, and
VERL_ENGINE_DEVICE=cuda, by which its FSDP engine is found. The "GPUs" that Ray hands out are numbers.
"""

import verl.utils.distributed as distributed
import verl.utils.fsdp_utils as fsdp
from verl.workers.rollout import base, replica

from . import platform  # noqa: F401 - registers itself


def _replica():
    from .rollout import Replica

    return Replica


base._ROLLOUT_REGISTRY["on_cpu", "async"] = "verl_on_cpu.rollout.Adapter"
replica.RolloutReplicaRegistry.register("on_cpu", _replica)

_with_any_backend = distributed.initialize_global_process_group_ray


def _with_gloo(timeout_second=None, backend=None):
    """verl asks for "cpu:gloo,cpu:gloo", which torch refuses."""
    return _with_any_backend(timeout_second=timeout_second, backend=backend or "gloo")


class _Unpinned(fsdp.CPUOffloadPolicy):
    """The reference model is offloaded to pinned memory, which needs an accelerator."""

    def __init__(self, pin_memory=True):
        super().__init__(pin_memory=False)


distributed.initialize_global_process_group_ray = _with_gloo
fsdp.CPUOffloadPolicy = _Unpinned
