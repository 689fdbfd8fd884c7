"""Where a model of torch runs on this machine."""

from __future__ import annotations

from lvlm_ad.errors import ConfigError

__all__ = ["chosen_device", "device_name"]


def chosen_device(wanted: str, *, setting: str = "device") -> str:
    """Return the device that is wanted, if it is there.

    Args:
        wanted: "cuda", "cuda:1", "mps", "cpu", or "auto": a CUDA GPU, else Apple's GPU, else the CPU.
        setting: what the user sets it with, for messages.

    Raises:
        ConfigError: there is no such device.
    """
    import torch  # noqa: PLC0415 - comes with an extra

    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return next(kind for kind, there in here.items() if there)
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise ConfigError(f"There is no device {wanted!r}; set {setting} to cuda, cuda:1, mps or cpu.") from error
    if not here.get(device.type, False):
        raise ConfigError(
            f"This machine or its torch {torch.__version__} has no {device.type}; set {setting}=cpu, or auto."
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"There is no {wanted}: this machine has {torch.cuda.device_count()} CUDA GPUs.")
    return wanted


def device_name(device: str) -> str:
    """Return a device as a manifest records it: with the names of its GPUs, such as "cuda: NVIDIA H200 x 2"."""
    import torch  # noqa: PLC0415 - comes with an extra

    if not device.startswith("cuda"):
        return device
    if device != "cuda":
        return f"{device}: {torch.cuda.get_device_name(device)}"
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return "cuda: " + ", ".join(f"{name} x {names.count(name)}" for name in dict.fromkeys(names))
