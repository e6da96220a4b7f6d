"""Randomness as a function of its arguments, never of what was drawn before.

`uniform` is counter-based: each of the four coordinates is mixed in by one round of SplitMix64 (Steele, Lea and
Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014), so any row of any batch can be drawn alone, in
any order, on any machine, with the same outcome. `seed_of` turns names into seeds the same way for everybody.
"""

import hashlib
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Integers: TypeAlias = int | np.integer | Sequence[int] | np.ndarray
_Words: TypeAlias = np.uint64 | NDArray[np.uint64]

_INCREMENT = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)


def uniform(seed: Integers, position: Integers, rollout: Integers, step: Integers) -> NDArray[np.float64]:
    """One number in the open interval (0, 1) for every row; arguments are integers or arrays of them that broadcast.

    Returns an array of the broadcast shape (zero-dimensional for four plain integers). 52 bits are random, so neither
    0 nor 1 ever comes out and `log` is safe.
    """
    state: _Words = np.uint64(0)
    for coordinate in (seed, position, rollout, step):
        state = _mix(state ^ _as_counter(coordinate))
    return np.asarray(((state >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52)


def seed_of(*parts: object) -> int:
    """A seed in [0, 2^63) from plain values, the same in every process and on every machine."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big") >> 1


def _as_counter(value: Integers) -> NDArray[np.uint64]:
    """Integers of either sign as 64-bit words; a Python int beyond 64 bits wraps around."""
    if isinstance(value, int):
        return np.array(value & 0xFFFFFFFFFFFFFFFF, dtype=np.uint64)
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"Randomness is addressed by integers; got an array of {array.dtype}.")
    return array.astype(np.int64).view(np.uint64) if array.dtype.kind == "i" else array.astype(np.uint64)


def _mix(state: _Words) -> _Words:
    with np.errstate(over="ignore"):
        state = state + _INCREMENT
        state = (state ^ (state >> np.uint64(30))) * _MULTIPLIER_1
        state = (state ^ (state >> np.uint64(27))) * _MULTIPLIER_2
    return state ^ (state >> np.uint64(31))
