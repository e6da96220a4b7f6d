"""The inner loops of a k-sparse step, compiled for the CPU: each walks over some rows or latents on one thread.

Nothing here knows about torch, threads or slices; arrays come in as NumPy views of tensors and results are written to
arrays that are passed in. Every output element is written by one call alone, in an order that depends on its inputs:
results are the same bits whatever the number of threads. `fastmath` allows sums to be reordered into vectors, and no
more: NaN and infinity stay what they are.
"""

# pyright: reportIndexIssue=false, reportUnknownMemberType=false
from typing import Any

import numba
import numpy as np

VECTOR = 64  # floats in four 512-bit registers: the stride of an unrolled loop
_compile: Any = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})


@_compile
def _dot(a, b):
    total = np.float32(0.0)
    for i in range(a.size):
        total += a[i] * b[i]
    return total


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
def _maxima(bits, top):
    """`top[j]` becomes the largest of bits[j], bits[j + groups], ..."""
    top[:] = 0
    for start in range(0, bits.size, top.size):
        part = bits[start : start + top.size]
        for j in range(part.size):
            ours, theirs = top[j], part[j]  # max() would leave the small integers and their wide vectors
            top[j] = ours if ours > theirs else theirs


@_compile
def _reaching(bits, top, level, groups, found):
    """Where bits reach the level, looking only into groups whose maximum does; returns how many. No branch to guess."""
    hit = 0
    for j in range(top.size):
        groups[hit] = j
        hit += 1 if top[j] >= level else 0
    count = 0
    for g in range(hit):
        for i in range(groups[g], bits.size, top.size):
            found[count] = i
            count += 1 if bits[i] >= level else 0
    return count


@_compile
def select_rows(bits, x, W_rows, b_enc, k, groups, values, indices):
    """TopK of every row: candidates from rounded pre-activations, their exact values, the k largest of those.

    `bits` [rows, d_sae] are pre-activations as integers of their own width: for positive floats, order is the same.
    `k + k // 4 + 4` latents or more are rescored as x . W_rows[latent] + b_enc[latent] in fp32. A row that is not
    finite gets a code of NaN.
    """
    top, hits = np.empty(groups, bits.dtype), np.empty(groups + 1, np.int64)
    found = np.empty(bits.shape[1] + VECTOR, np.int64)
    exact = np.zeros(bits.shape[1] + VECTOR, np.float32)
    for r in range(len(bits)):
        _maxima(bits[r], top)
        level = _level_with(min(k + k // 4 + 4, groups), top)
        count = _reaching(bits[r], top, level, hits, found)
        for c in range(count):
            exact[c] = _dot(x[r], W_rows[found[c]]) + b_enc[found[c]]
        whole = -(-count // VECTOR) * VECTOR  # vectors without a remainder
        exact[count:whole] = 0
        _keep_largest(exact[:whole], found, k, values[r], indices[r])
        if not np.isfinite(_dot(x[r], x[r])):
            values[r] = np.nan


@_compile
def _keep_largest(exact, found, k, values, indices):
    """The k largest positive of the candidates, in the order found; of equals, the first. The rest are unused slots."""
    bits = exact.view(np.int32)
    level = _level_with(k, bits)
    spare = k
    for c in range(bits.size):
        spare -= 1 if bits[c] > level else 0
    used = 0
    for c in range(bits.size):
        if used < k:
            values[used], indices[used] = exact[c], found[c]
        equal = bits[c] == level and spare > 0
        spare -= 1 if equal else 0
        used += 1 if equal or bits[c] > level else 0
    values[used:] = 0
    indices[used:] = 0


@_compile
def compare_rows(values, indices, W_dec, b_dec, target, scale, pull, grad_values, grad_b_dec):
    """Decode every row; `pull` becomes 2 scale (reconstruction - target), and `grad_values` its dots with W_dec.

    Adds pull to `grad_b_dec`, returns the sum of squared errors.
    """
    squared_error = 0.0
    for r in range(len(values)):
        out = pull[r]
        for i in range(out.size):
            out[i] = b_dec[i] - target[r, i]
        _add_rows(values[r], indices[r], W_dec, out)
        squared_error += _dot(out, out)
        for i in range(out.size):
            out[i] *= 2 * scale
            grad_b_dec[i] += out[i]
        for s in range(values.shape[1]):
            grad_values[r, s] = _dot(out, W_dec[indices[r, s]]) if values[r, s] != 0 else 0.0
    return squared_error


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
def by_latent(values, indices, starts, slots):
    """Counting sort of the used slots: those of latent f are slots[starts[f]:starts[f + 1]], rows in order."""
    starts[:] = 0
    flat_values, flat_indices = values.ravel(), indices.ravel()
    for s in range(flat_values.size):
        if flat_values[s] != 0:
            starts[flat_indices[s] + 1] += 1
    for f in range(starts.size - 1):
        starts[f + 1] += starts[f]
    for s in range(flat_values.size):
        if flat_values[s] != 0:
            slots[starts[flat_indices[s]]] = s
            starts[flat_indices[s]] += 1
    for f in range(starts.size - 1, 0, -1):
        starts[f] = starts[f - 1]
    starts[0] = 0


@_compile
def gradients_of(first, last, starts, slots, values, grad_values, pull, seen, W_rows, grads, grad_seen):
    """Add the gradients of latents first..last-1 to (encoder rows, b_enc, W_dec); add -d loss/d seen to `grad_seen`."""
    grad_enc, grad_b, grad_dec = grads
    flat_values, flat_grads = values.ravel(), grad_values.ravel()
    most = 0
    for f in range(first, last):
        most = max(most, starts[f + 1] - starts[f])
    rows, by_value, by_grad = np.empty(most, np.int64), np.empty(most, np.float32), np.empty(most, np.float32)
    for f in range(first, last):
        count = starts[f + 1] - starts[f]
        total = np.float32(0)
        for entry in range(count):
            slot = slots[starts[f] + entry]
            rows[entry], by_value[entry], by_grad[entry] = slot // values.shape[1], flat_values[slot], flat_grads[slot]
            total += flat_grads[slot]
        _add_rows(by_value[:count], rows, pull, grad_dec[f])
        _add_rows(by_grad[:count], rows, seen, grad_enc[f])
        grad_b[f] += total
        for i in range(grad_seen.size):
            grad_seen[i] -= total * W_rows[f, i]


@_compile
def along_rows(first, last, grad, W_dec):
    """Remove from every row of `grad` its part along the decoder's row."""
    for f in range(first, last):
        part = _dot(grad[f], W_dec[f])
        for i in range(W_dec.shape[1]):
            grad[f, i] -= part * W_dec[f, i]


@_compile
def squares_of(first, last, grad):
    """The sum of squares of some rows, in double precision between rows."""
    total = 0.0
    for f in range(first, last):
        total += _dot(grad[f], grad[f])
    return total


@_compile
def adam_rows(first, last, weight, grad, mean, square, numbers):
    """Adam on some rows, as `torch.optim.Adam` does it; the gradient is scaled before and zero afterwards."""
    factor, new1, beta2, new2, rate, unbias, eps = numbers
    for f in range(first, last):
        for i in range(weight.shape[1]):
            g = grad[f, i] * factor
            m = mean[f, i] + (g - mean[f, i]) * new1
            v = square[f, i] * beta2 + g * g * new2
            mean[f, i], square[f, i], grad[f, i] = m, v, np.float32(0)
            weight[f, i] -= rate * m / (np.sqrt(v) * unbias + eps)


@_compile
def unit_rows(first, last, W_dec):
    """Set some rows to length one."""
    for f in range(first, last):
        factor = np.float32(1) / max(np.sqrt(_dot(W_dec[f], W_dec[f])), np.float32(1e-12))
        for i in range(W_dec.shape[1]):
            W_dec[f, i] *= factor
