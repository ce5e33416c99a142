"""What the machine can do at most: chains of fused multiply-adds, and streams through memory."""

from __future__ import annotations

from functools import cache

from numba import prange

from fastmix.kernels.jit import EntryPoint, entry_point, helper

# A chain of CHAIN dependent multiply-adds on each of LENGTH independent numbers. The chains of neighbouring
# vectors overlap and so hide each other's latency. A longer chain does not fit into the processor's window of reordered
# instructions (with 32 the rate fell by a third), a shorter one is bound by its loads and stores.
CHAIN = 8
LENGTH = 128


@helper("elementwise")
def _multiply_add(values, repeats, factor, term):
    # "elementwise" fuses each product with its sum, and forbids the compiler to rearrange the chain.
    for _ in range(repeats):
        for i in range(LENGTH):
            x = values[i]
            x = x * factor + term
            x = x * factor + term
            x = x * factor + term
            x = x * factor + term
            x = x * factor + term
            x = x * factor + term
            x = x * factor + term
            x = x * factor + term
            values[i] = x


def _multiply_adds(values, repeats, factor, term):
    """values[thread, i] -> CHAIN * repeats times x * factor + term; values (T, LENGTH), all of one type."""
    for thread in prange(values.shape[0]):
        _multiply_add(values[thread], repeats, factor, term)


@helper("reduction")
def _sum(a):
    total = 0.0
    for i in range(a.size):
        total += a[i]
    return total


def _read(a, totals):
    """totals[8 t] = the sum of the t-th share of a (N,); one share a thread, a cache line of totals for each."""
    n_shares = totals.size // 8
    share = a.size // n_shares
    for t in prange(n_shares):
        totals[8 * t] = _sum(a[t * share : (t + 1) * share])


@helper("elementwise")
def _scale_and_add(a, b, c, factor):
    for i in range(a.size):
        a[i] = b[i] + factor * c[i]


def _triad(a, b, c, factor, n_shares):
    """a = b + factor c (McCalpin's STREAM), one share a thread."""
    share = a.size // n_shares
    for t in prange(n_shares):
        part = slice(t * share, (t + 1) * share)
        _scale_and_add(a[part], b[part], c[part], factor)


@cache
def multiply_adds() -> EntryPoint:
    """The compiled chains (its signature is that of ``_multiply_adds``)."""
    return entry_point(_multiply_adds)


@cache
def read() -> EntryPoint:
    """The compiled sum (its signature is that of ``_read``)."""
    return entry_point(_read)


@cache
def triad() -> EntryPoint:
    """The compiled triad (its signature is that of ``_triad``)."""
    return entry_point(_triad)
