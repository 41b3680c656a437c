"""Where nets compute, and in which number type."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch

from mctool.core.errors import MissingBackendError, UsageError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(name: str) -> torch.device:
    """The device that ``--device`` means.

    Raises:
        UsageError: There is no device of that name.
        MissingBackendError: The device is not on this machine.
    """
    here: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
        "cpu": lambda: True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, is_here in here.items() if is_here()))
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise UsageError(f"--device {name!r} is not one of auto, cpu, cuda, cuda:N and mps")
    device = torch.device(name)
    if not here[device.type]():
        raise MissingBackendError(f"torch finds no {device.type} device on this machine", "use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise MissingBackendError(
            f"there is no {name}: {torch.cuda.device_count()} CUDA devices here", "use --device cuda"
        )
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """The number type that ``--dtype`` means; ``auto`` is the fastest one that costs no measurable likelihood.

    Raises:
        UsageError: There is none of that name.
    """
    if name == "auto":
        fast_half = device.type == "cuda" or (device.type == "cpu" and _multiplies_bfloat16())
        return torch.bfloat16 if fast_half else torch.float32
    if name not in _DTYPES:
        raise UsageError(f"--dtype {name!r} is not one of auto, {', '.join(_DTYPES)}")
    return _DTYPES[name]


def _multiplies_bfloat16() -> bool:
    """Whether the CPU has instructions for bfloat16; without them it is slower than float32."""
    has_them = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # not public, so that it may go
    return has_them is not None and bool(has_them())
