"""The CPU as a platform of verl: torch.cpu, with what verl asks of a device beyond it answered by "nothing"."""

import types
from contextlib import nullcontext

import torch
from verl.plugin.platform import PlatformBase, PlatformRegistry

NOTHING = {
    "empty_cache": None,
    "is_available": False,
    "memory_allocated": 0,
    "memory_reserved": 0,
    "max_memory_allocated": 0,
    "max_memory_reserved": 0,
    "reset_peak_memory_stats": None,
    "ipc_collect": None,
    "mem_get_info": (1 << 34, 1 << 34),
    "set_device": None,
    "synchronize": None,
    "get_device_name": "CPU",
}


class Device(types.ModuleType):
    def __getattr__(self, name):
        if name in NOTHING:
            return lambda *_, **__: NOTHING[name]
        return getattr(torch.cpu, name)

    def current_device(self):
        return torch.device("cpu")

    def get_rng_state(self, *_, **__):
        return torch.get_rng_state()

    def set_rng_state(self, state, *_, **__):
        torch.set_rng_state(state)

    def manual_seed(self, seed):
        torch.manual_seed(seed)

    manual_seed_all = manual_seed


@PlatformRegistry.register(platform="cpu")
class Cpu(PlatformBase):
    device_name = "cpu"
    vendor_name = "cpu"
    device_module = Device("verl_on_cpu_device")

    def is_available(self):
        return True

    def is_platform_available(self, use_smi_check=False):
        return False

    def current_device(self):
        return torch.device("cpu")

    def device_count(self):
        return 1

    def set_device(self, index):
        pass

    def synchronize(self, index=None):
        pass

    def manual_seed(self, seed):
        torch.manual_seed(seed)

    manual_seed_all = manual_seed

    def set_allocator_settings(self, settings):
        pass

    def empty_cache(self):
        pass

    def get_device_capability(self, index=0):
        return None, None

    def communication_backend_name(self):
        return "gloo"

    def visible_devices_envvar(self):
        return "VERL_ON_CPU_VISIBLE"

    def nvtx_range(self, message):
        return nullcontext()

    def profiler_start(self):
        pass

    def profiler_stop(self):
        pass

    def ray_resource_name(self):
        return "GPU"

    def ray_noset_envvars(self):
        return []

    def is_ipc_supported(self):
        return False

    def cudart(self):
        return None
