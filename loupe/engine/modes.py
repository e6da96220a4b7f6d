"""The global switches of torch that a job must leave as it found them at every yield."""

from dataclasses import dataclass, fields

import torch


@dataclass(frozen=True, slots=True)
class GlobalModes:
    """What would change the results of another job on the same thread if it leaked out of a slice."""

    grad: bool
    inference: bool
    autocast: bool
    dtype: torch.dtype
    threads: int
    deterministic: bool

    @classmethod
    def read(cls) -> "GlobalModes":
        """The switches as they stand on this thread."""
        return cls(
            grad=torch.is_grad_enabled(),
            inference=torch.is_inference_mode_enabled(),
            autocast=torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda"),
            dtype=torch.get_default_dtype(),
            threads=torch.get_num_threads(),
            deterministic=torch.are_deterministic_algorithms_enabled(),
        )

    def restore(self) -> None:
        """Set back what can be set directly; inference mode and autocast end with the generator that opened them."""
        if not self.differences(GlobalModes.read()):
            return
        torch.set_grad_enabled(self.grad)
        torch.set_default_dtype(self.dtype)
        torch.set_num_threads(self.threads)
        torch.use_deterministic_algorithms(self.deterministic)

    def differences(self, later: "GlobalModes") -> list[str]:
        """The names of the switches that differ, with both values."""
        pairs = ((each.name, getattr(self, each.name), getattr(later, each.name)) for each in fields(self))
        return [f"{name}: {before} -> {after}" for name, before, after in pairs if before != after]
