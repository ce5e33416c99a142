"""What is known about the components of rows, as terms of their log-joints."""

from fastmix.kernels.jit import helper
from fastmix.kernels.mixture.normalise import LOG_ZERO
from fastmix.kernels.simd.elementary import log_positive
from fastmix.kernels.simd.gather import transpose_4
from fastmix.kernels.simd.vectors import VECTOR

# Below it a number is subnormal, which ``log_positive`` does not take; it counts as 0.
LEAST_SHARE = 2.2250738585072014e-308


@helper("elementwise")
def add_labels(known, row_of, components, vectors, numbers, q):
    """Add log p(label of row b | component) to q[a, b]; 0 where there is no label.

    vectors (6, B) float64, but for the first, and numbers (B,) of the type of q are scratch.
    """
    if known.label_table.size:
        _add_from_table(known, row_of, components, vectors, q)
        return
    # A label says one of two things of a component, so that vector code can select: 2.6 ms for 1e6 rows and 16 components,
    # looked up in a table 7 ms.
    for b in range(numbers.size):
        numbers[b] = known.labels[row_of[b]]
    number = numbers.dtype.type
    for a in range(components.size):
        k = components[a]
        own = number(known.label_classes[k])
        same, other = number(known.label_terms[k, 0]), number(known.label_terms[k, 1])
        for b in range(numbers.size):
            term = same if numbers[b] == own else other
            q[a, b] += number(0.0) if numbers[b] < number(0.0) else term


@helper("elementwise")
def _add_from_table(known, row_of, components, vectors, q):
    table, place, terms = known.label_table, vectors[1].view(row_of.dtype), vectors[2:]
    for b in range(place.size):
        place[b] = 1 + known.labels[row_of[b]]
    if components.size < known.label_classes.size:
        for a in range(components.size):
            for b in range(place.size):
                q[a, b] += table[place[b], components[a]]
        return
    # Four components side by side for 8 rows at a time: 2.5 ms for 1e6 rows and 16 components, each by itself 7 ms.
    n_fours = table.shape[1] // 4
    fours = table.reshape((table.shape[0] * n_fours, 4))
    for b in range(place.size):
        place[b] *= n_fours
    for first in range(0, components.size, 4):
        for b in range(0, place.size, VECTOR):
            transpose_4(fours, place, vectors[0], b, 0, terms)
        for j in range(min(4, components.size - first)):
            for b in range(place.size):
                q[first + j, b] += terms[j, b]
        for b in range(place.size):
            place[b] += 1


@helper("elementwise")
def add_soft_labels(known, row_of, components, vectors, q):
    """Add log of the soft label of row b and component components[a] to q[a, b].

    vectors (6, B) float64, but for the first, is scratch.
    """
    soft, shares = known.soft_labels, vectors[2:]
    n_components = soft.shape[1]
    if components.size < n_components or n_components % 4:
        for a in range(components.size):
            for b in range(row_of.size):
                shares[0, b] = soft[row_of[b], components[a]]
            _add_logarithms(shares[0], q[a])
        return
    place = vectors[1].view(row_of.dtype)
    fours = soft.reshape((soft.shape[0] * (n_components // 4), 4))
    for b in range(place.size):
        place[b] = row_of[b] * (n_components // 4)
    for first in range(0, n_components, 4):
        for b in range(0, place.size, VECTOR):
            transpose_4(fours, place, vectors[0], b, 0, shares)
        for j in range(4):
            _add_logarithms(shares[j], q[first + j])
        for b in range(place.size):
            place[b] += 1


@helper("elementwise")
def _add_logarithms(shares, out):
    for b in range(out.size):
        positive = shares[b] >= LEAST_SHARE
        term = log_positive(shares[b] if positive else 1.0)
        out[b] += term if positive else LOG_ZERO


@helper("elementwise")
def count_labels(known, row_of, components, r, counts):
    """Add responsibilities times weights r (A, B) of labelled rows to counts, laid out as ``Labels.label_table``."""
    n_columns = known.label_table.shape[1]
    for b in range(row_of.size):
        label = 1 + known.labels[row_of[b]]
        if label > 0:
            of_label = counts[label * n_columns : (label + 1) * n_columns]
            for a in range(components.size):
                of_label[components[a]] += r[a, b]
