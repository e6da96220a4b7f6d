"""What becomes of an exception that ends a job: told apart, made readable, and stripped of the tensors it holds."""

import gc
import traceback

import torch

from loupe.engine.errors import OutOfDeviceMemory
from loupe.engine.memory import ADVICE, read_memory

_SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is a device or host running out of memory; torch's CPU allocator only says so in its text."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def settle_failure(error: BaseException, job_name: str, device: torch.device) -> BaseException:
    """The exception to put into the job's future.

    Frames of the traceback keep every local tensor alive, and the future keeps the traceback: their locals are
    cleared for any exception. Running out of memory becomes OutOfDeviceMemory with advice, and the cache is emptied,
    so that the next job finds the device as it was.
    """
    if isinstance(error, OutOfDeviceMemory) or not is_out_of_memory(error):
        _forget_locals(error)
        return error
    translated = _translate(error, job_name, device)
    _forget_locals(error)
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return translated


def _translate(error: BaseException, job_name: str, device: torch.device) -> OutOfDeviceMemory:
    first_line = next(iter(str(error).splitlines()), "") or type(error).__name__
    memory = read_memory(device)
    return OutOfDeviceMemory(
        f"{job_name} ran out of memory on {device}, where {memory.used / 2**30:.2f} of {memory.total / 2**30:.2f} GiB "
        f"are in use: {first_line[:300]}.",
        advice=ADVICE,
        available=max(0, memory.total - memory.used),
    )


def _forget_locals(error: BaseException) -> None:
    seen: BaseException | None = error
    while seen is not None:
        traceback.clear_frames(seen.__traceback__)
        seen = seen.__cause__ or seen.__context__
