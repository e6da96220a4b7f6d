"""The inner loops of a k-sparse step, compiled for the CPU: each walks over some rows or latents on one thread.

Nothing here knows about torch, threads or slices; arrays come in as NumPy views of tensors and results are written to
arrays that are passed in. Every output element is written by one call alone, in an order that depends on its inputs:
results are the same bits whatever the number of threads. `fastmath` allows sums to be reordered into vectors, and no
more: NaN and infinity stay what they are. A code is `values` and `indices` [rows, width], with `used[row]` slots filled
and the rest zero. Memory to work in is passed in too: a kernel asks nobody for anything, so that it can be linked into
a library (`linked.py`), for which `_kernel` says what its arguments are.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from loupe.engine.sae.scratch import VECTOR

OPTIONS: Any = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz"}}
SIGNATURES: dict[str, str] = {}


def _compile(function: Any) -> Any:
    """Compiled when first called, kept on disk; whatever wraps the function (checks of shapes) stays outside."""
    return numba.njit(cache=True, **OPTIONS)(inspect.unwrap(function))


def _kernel(signature: str) -> Callable[[Any], Any]:
    """A function that is called from outside.

    Its arguments, tuples in brackets: n an integer, f a float; arrays by element and dimensions: f2 of float32, i1 of
    int32, l1 of int64, b2 of pre-activations as integers of 16 or 32 bits.
    """

    def named(function: Any) -> Any:
        SIGNATURES[inspect.unwrap(function).__name__] = signature
        return _compile(function)

    return named


# --- choosing latents ---


@_kernel("b2 f2 f2 f1 n f2 i2 i1 b1 l1 l1 f1")
def select_rows(bits, x, W_rows, b_enc, k, values, indices, used, top, hits, found, exact):
    """TopK of every row: candidates from rounded pre-activations, their exact values, the k largest of those.

    `bits` [rows, d_sae] are pre-activations as integers of their own width: for positive floats, order is the same.
    `k + k // 4 + 4` latents or more are computed again, as x . W_rows[latent] + b_enc[latent] in fp32. A row that is
    not finite gets a code of NaN.
    """
    for r in range(len(bits)):
        _maxima(bits[r], top)
        level = _level_with(min(k + k // 4 + 4, top.size), top)
        count = _reaching(bits[r], top, level, hits, found)
        for c in range(count):
            exact[c] = _dot(x[r], W_rows[found[c]]) + b_enc[found[c]]
        whole = -(-count // VECTOR) * VECTOR  # vectors without a remainder
        exact[count:whole] = 0
        used[r] = _keep_largest(exact[:whole], found, k, values[r], indices[r])
        if not np.isfinite(_dot(x[r], x[r])):
            values[r], used[r] = np.nan, values.shape[1]


@_kernel("b2 f2 f2 f1 n f2 i2 i1 b1 l1 l1")
def reach_rows(bits, x, W_rows, b_enc, level, values, indices, used, top, hits, found):
    """All latents of every row whose rounded pre-activation reaches `level`, with exact values, if positive.

    `used[r]` is how many there were, even where that is more than a row has slots.
    """
    for r in range(len(bits)):
        _maxima(bits[r], top)
        count = _reaching(bits[r], top, level, hits, found)
        kept = 0
        for c in range(count):
            exact = _dot(x[r], W_rows[found[c]]) + b_enc[found[c]]
            if kept < values.shape[1]:
                values[r, kept], indices[r, kept] = exact, found[c]
            kept += 1 if exact > 0 else 0
        values[r, kept:], indices[r, kept:], used[r] = 0, 0, kept
        if not np.isfinite(_dot(x[r], x[r])):
            values[r], used[r] = np.nan, values.shape[1]


@_kernel("n f2 i2 i1")
def keep_reaching(level, values, indices, used):
    """Of a code, keep the values whose bits reach the level, at the front of their rows."""
    bits = values.view(np.int32)
    for r in range(len(values)):
        kept = 0
        for s in range(used[r]):
            reaches = bits[r, s] >= level
            values[r, kept], indices[r, kept] = values[r, s], indices[r, s]
            kept += 1 if reaches else 0
        values[r, kept:], indices[r, kept:], used[r] = 0, 0, kept


@_kernel("n f1")
def level_of_largest(count, values):
    """The `count`-th largest of positive values as the integer of its bits; 1 if there are fewer."""
    return _level_with(count, values.view(np.int32))


@_compile
def _maxima(bits, top):
    """`top[j]` becomes the largest of bits[j], bits[j + groups], ..."""
    top[:] = 0
    for start in range(0, bits.size, top.size):
        part = bits[start : start + top.size]
        for j in range(part.size):
            ours, theirs = top[j], part[j]  # max() would leave the small integers and their wide vectors
            top[j] = ours if ours > theirs else theirs


@_compile
def _level_with(count, top):
    """The largest t that at least `count` entries of `top` reach, but at least 1: zero and negative never count."""
    level = np.int32(0)
    bit = np.int32(1 << (8 * top.itemsize - 2))
    while bit:
        trial, reached = np.int32(level + bit), np.int32(0)
        for i in range(top.size):
            reached += np.int32(1) if top[i] >= trial else np.int32(0)
        level = trial if reached >= count else level
        bit = np.int32(bit >> 1)
    return max(level, np.int32(1))


@_compile
def _reaching(bits, top, level, hits, found):
    """Where bits reach the level, looking only into groups whose maximum does; returns how many. No branch to guess."""
    hit = 0
    for j in range(top.size):
        hits[hit] = j
        hit += 1 if top[j] >= level else 0
    count = 0
    for h in range(hit):
        for i in range(hits[h], bits.size, top.size):
            found[count] = i
            count += 1 if bits[i] >= level else 0
    return count


@_compile
def _keep_largest(exact, found, k, values, indices):
    """The k largest positive of the candidates, in the order found; of equals, the first. Returns how many."""
    bits = exact.view(np.int32)
    level = _level_with(k, bits)
    spare = k
    for c in range(bits.size):
        spare -= 1 if bits[c] > level else 0
    kept = 0
    for c in range(bits.size):
        if kept < k:
            values[kept], indices[kept] = exact[c], found[c]
        equal = bits[c] == level and spare > 0
        spare -= 1 if equal else 0
        kept += 1 if equal or bits[c] > level else 0
    values[kept:], indices[kept:] = 0, 0
    return kept


# --- decoding, and the gradients of a code ---


@_kernel("n n ( f2 i2 i1 ) f2 f1 f2 l1 f f3 f2 f1 f1")
def compare_rows(first, last, code, W_dec, b_dec, y, level_of, scale, table, grad_values, grad_b_dec, run):
    """Decode rows first..last-1 level by level; errors, and the gradients of the code.

    A latent writes to its own level and to all after it, so `table[level]` [rows, d_out] becomes the sum of the errors
    y - y_hat of that level and all after it; the last is the error of the whole code. `scale` times the table is the
    gradient by what a latent of that level wrote, and `grad_values` its dot with the latent's row. Adds to
    `grad_b_dec`; returns the squared errors of all levels.
    """
    values, indices, used = code
    squared_errors = 0.0
    for r in range(first, last):
        count = used[r]
        for i in range(run.size):
            run[i] = b_dec[i]
        if len(table) == 1:
            _add_rows(values[r, :count], indices[r], W_dec, run)
            _minus(y[r], run, table[0, r])
        else:
            _decode_levels(values[r, :count], indices[r], W_dec, level_of, y[r], run, table[:, r])
        for level in range(len(table)):
            squared_errors += _dot(table[level, r], table[level, r])
        for level in range(len(table) - 2, -1, -1):
            _add(table[level + 1, r], table[level, r])
        for s in range(count):
            latent = indices[r, s]
            grad_values[r, s] = scale * _dot(table[level_of[latent], r], W_dec[latent])
        grad_values[r, count:] = 0
        for i in range(run.size):
            grad_b_dec[i] += scale * table[0, r, i]
    return squared_errors


@_compile
def _decode_levels(values, indices, W_dec, level_of, y, run, errors):
    """What each level adds, then running sums over the levels, starting from `run`, taken from y."""
    errors[:] = 0
    for s in range(values.size):
        _add_rows(values[s : s + 1], indices[s : s + 1], W_dec, errors[level_of[indices[s]]])
    for level in range(len(errors)):
        _add(errors[level], run)
        _minus(y, run, errors[level])


@_compile
def _add_rows(weights, picks, table, out):
    """out += sum of weights[i] * table[picks[i]], four rows at a time so that `out` is loaded less often."""
    whole = weights.size - weights.size % 4
    for s in range(0, whole, 4):
        w0, w1, w2, w3 = weights[s], weights[s + 1], weights[s + 2], weights[s + 3]
        r0, r1, r2, r3 = table[picks[s]], table[picks[s + 1]], table[picks[s + 2]], table[picks[s + 3]]
        for i in range(out.size):
            out[i] += (w0 * r0[i] + w1 * r1[i]) + (w2 * r2[i] + w3 * r3[i])
    for s in range(whole, weights.size):
        w0, r0 = weights[s], table[picks[s]]
        for i in range(out.size):
            out[i] += w0 * r0[i]


@_compile
def _add(row, out):
    for i in range(out.size):
        out[i] += row[i]


@_compile
def _minus(left, right, out):
    for i in range(out.size):
        out[i] = left[i] - right[i]


@_compile
def _dot(a, b):
    total = np.float32(0)
    for i in range(a.size):
        total += a[i] * b[i]
    return total


# --- gradients of the weights, latent by latent ---


@_kernel("( f2 i2 i1 ) l1 i1")
def turn_around(code, starts, slots):
    """Counting sort of the used slots: those of latent f are slots[starts[f]:starts[f + 1]], rows in order."""
    _, indices, used = code
    width = indices.shape[1]
    starts[:] = 0
    for r in range(len(indices)):
        for s in range(used[r]):
            starts[indices[r, s] + 1] += 1
    for f in range(starts.size - 1):
        starts[f + 1] += starts[f]
    for r in range(len(indices)):
        for s in range(used[r]):
            latent = indices[r, s]
            slots[starts[latent]] = r * width + s
            starts[latent] += 1
    for f in range(starts.size - 1, 0, -1):
        starts[f] = starts[f - 1]
    starts[0] = 0


@_kernel("n n ( l1 i1 ) ( f2 f2 ) f3 l1 f2 f2 f ( f2 f1 f2 ) f1 l1 f1 f1")
def gradients_of(
    first, last, turned, code_gradients, table, level_of, seen, W_rows, scale, grads, grad_seen, rows, by_value, by_grad
):
    """The gradients of latents first..last-1: rows of the encoder, of b_enc and of the decoder.

    Adds what flows back to the input, summed over all rows, to `grad_seen`.
    """
    starts, slots = turned
    values, grad_values = code_gradients
    grad_enc, grad_b, grad_dec = grads
    width = values.shape[1]
    for f in range(first, last):
        count, total = starts[f + 1] - starts[f], np.float32(0)
        for entry in range(count):
            row, slot = divmod(slots[starts[f] + entry], width)
            rows[entry], by_value[entry], by_grad[entry] = row, scale * values[row, slot], grad_values[row, slot]
            total += grad_values[row, slot]
        grad_dec[f], grad_enc[f], grad_b[f] = 0, 0, total
        _add_rows(by_value[:count], rows, table[level_of[f]], grad_dec[f])
        _add_rows(by_grad[:count], rows, seen, grad_enc[f])
        for i in range(grad_seen.size):
            grad_seen[i] += total * W_rows[f, i]


# --- the optimiser ---


@_kernel("n n f2 f2")
def remove_along(first, last, grad, W):
    """Remove from every row of a gradient its part along the weight's own row, which has length one."""
    for f in range(first, last):
        part = _dot(grad[f], W[f])
        for i in range(W.shape[1]):
            grad[f, i] -= part * W[f, i]


@_kernel("n n f2")
def sum_of_squares(first, last, grad):
    """Over some rows; in double precision between rows."""
    total = 0.0
    for f in range(first, last):
        total += _dot(grad[f], grad[f])
    return total


@_kernel("n n f2 f2 f2 f2 ( f f f f f f f )")
def adam_rows(first, last, weight, grad, mean, square, numbers):
    """Adam on some rows, as `torch.optim.Adam` does it, on the gradient times `factor`."""
    factor, new1, beta2, new2, rate, unbias, eps = numbers
    for f in range(first, last):
        for i in range(weight.shape[1]):
            g = grad[f, i] * factor
            m = mean[f, i] + (g - mean[f, i]) * new1
            v = square[f, i] * beta2 + g * g * new2
            mean[f, i], square[f, i] = m, v
            weight[f, i] -= rate * m / (np.sqrt(v) * unbias + eps)


@_kernel("n n f2")
def unit_rows(first, last, W):
    """Set some rows to length one."""
    for f in range(first, last):
        factor = np.float32(1) / max(np.sqrt(_dot(W[f], W[f])), np.float32(1e-12))
        for i in range(W.shape[1]):
            W[f, i] *= factor
