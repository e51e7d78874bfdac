"""AdamW over fp32 master weights, whatever number format the model computes in.

bf16 weights swallow updates of 1e-6, so the weights that are stepped are fp32; a bf16 model gets a rounded copy
after each step. Where the model is fp32 already (and not offloaded), master and model are the same tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from diagnosis_zero.errors import InputError
from diagnosis_zero.train.lowbit import AdamW8bit


class FusedAdamW(torch.optim.AdamW):
    """One pass over the memory instead of ten, measured eight times as fast on a CPU. Its moments are there from the
    start, as those of 8 bits are: memory that does not suffice for them is told before the first rollout, and they do
    not come to lie among the activations of the first update, which the later ones would have to place elsewhere."""

    def __init__(self, groups: list[dict[str, Any]], *, lr: float, betas: tuple[float, float]) -> None:
        super().__init__(groups, lr=lr, betas=betas, fused=True)
        for group in self.param_groups:
            for weights in group["params"]:
                moments = {name: torch.zeros_like(weights) for name in ("exp_avg", "exp_avg_sq")}
                self.state[weights] = {"step": torch.zeros((), device=weights.device), **moments}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the place of the moments that are there: never two sets of them at once."""
        self.state.clear()
        super().load_state_dict(state_dict)


OPTIMIZERS: dict[str, Callable[..., Any]] = {"adamw": FusedAdamW, "adamw8bit": AdamW8bit}
"""How the moments are kept (``train.optimizer``): in float32, or in 8 bits."""


class MasterAdamW:
    """Decoupled weight decay (Loshchilov and Hutter 2019) on matrices, none on vectors (norms and biases).

    Gradients of micro-batches are summed in fp32: call ``collect`` after each backward pass, ``step`` once. Parameters
    that need no gradient have neither masters nor moments. With ``offload`` the masters, their gradients and the
    moments lie in host memory, and the step is computed there.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        betas: tuple[float, float],
        weight_decay: float,
        kind: str = "adamw",
        offload: bool = False,
    ) -> None:
        self.kind = kind
        self.named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.masters = [_master(p, torch.device("cpu") if offload else p.device) for _, p in self.named]
        # As soon as a gradient is there: all of a bf16 model's at once would lie beside all of the masters'.
        self._hooks = [
            parameter.register_post_accumulate_grad_hook(partial(_move_gradient, master))
            for (_, parameter), master in zip(self.named, self.masters, strict=True)
            if parameter is not master
        ]
        matrices = [m for m in self.masters if m.dim() > 1]
        vectors = [m for m in self.masters if m.dim() <= 1]
        groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self.adam = OPTIMIZERS[kind]([group for group in groups if group["params"]], lr=0.0, betas=betas)

    def release(self) -> None:
        """Let go of the model, for another optimizer: until then this one takes every gradient of a bf16 model."""
        for hook in self._hooks:
            hook.remove()

    def collect(self) -> None:
        """Move the gradients that were set by hand (the head's) to the masters; the others are there already."""
        for (_, parameter), master in zip(self.named, self.masters, strict=True):
            if parameter is not master:
                _move_gradient(master, parameter)

    def discard(self) -> None:
        """Forget the gradients of a minibatch that could not be finished."""
        for (_, parameter), master in zip(self.named, self.masters, strict=True):
            parameter.grad = master.grad = None

    def step(self, lr: float, max_grad_norm: float) -> float:
        """One update from the collected gradients, clipped to ``max_grad_norm``; the norm before clipping.

        A norm that is not finite leaves the weights and moments as they are: the caller counts the skipped step.
        """
        for master in self.masters:
            if master.grad is None:  # nothing computed is a gradient of zero: the moments carry the weights on
                master.grad = torch.zeros_like(master)
        norm = float(torch.nn.utils.get_total_norm([m.grad for m in self.masters if m.grad is not None]))
        if math.isfinite(norm):
            torch.nn.utils.clip_grads_with_norm_(self.masters, max_grad_norm, torch.tensor(norm))
            for group in self.adam.param_groups:
                group["lr"] = lr
            self.adam.step()
            self._publish()
        self.adam.zero_grad(set_to_none=True)
        return norm

    def _publish(self) -> None:
        with torch.no_grad():
            for (_, parameter), master in zip(self.named, self.masters, strict=True):
                if parameter is not master:
                    parameter.copy_(master)

    def state(self) -> dict[str, Any]:
        """Tensors and plain numbers only: what ``load_state`` needs to go on as if nothing had happened."""
        return {
            "kind": self.kind,
            "masters": {name: m.detach() for (name, _), m in zip(self.named, self.masters, strict=True)},
            "adam": self.adam.state_dict(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Bring back the master weights (and through them the model's) and the moments; betas and decay stay as
        this optimizer was made, since a resumed recipe may change them.

        Raises:
            InputError: the state is that of another kind of optimizer, or of other weights.
        """
        kind = state.get("kind", "adamw")
        if kind != self.kind or state["masters"].keys() != {name for name, _ in self.named}:
            what = f"the checkpoint's optimizer state ({kind}) is not that of this recipe ({self.kind})"
            raise InputError(what, mend="Resume with the run's own train.optimizer and lora.")
        with torch.no_grad():
            for (name, _), master in zip(self.named, self.masters, strict=True):
                master.copy_(state["masters"][name])
        own = _settings(self.adam.param_groups)
        self.adam.load_state_dict(state["adam"])
        for group, settings in zip(self.adam.param_groups, own, strict=True):
            group.update(settings)
        self._publish()


def _master(parameter: Tensor, home: torch.device) -> Tensor:
    if parameter.dtype == torch.float32 and parameter.device == home:
        return parameter
    return parameter.detach().to(home, torch.float32, copy=True)


def _move_gradient(master: Tensor, parameter: Tensor) -> None:
    if parameter.grad is None:
        return
    fresh = parameter.grad.to(master.device, torch.float32)
    master.grad = fresh if master.grad is None else master.grad.add_(fresh)
    parameter.grad = None


def _settings(groups: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{key: group[key] for key in ("betas", "weight_decay")} for group in groups]
