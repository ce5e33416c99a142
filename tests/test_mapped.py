"""Memory maps are read ahead where they lie, and never copied."""

import mmap
import sys
import threading

import numpy as np
import pytest
from processes import run_python

from fastmix.data.mapped import MappedRows
from fastmix.data.rows import make_rows

pytestmark = pytest.mark.skipif(not hasattr(mmap, "MADV_WILLNEED"), reason="the system takes no advice")


class Told:
    """A memory map that writes down the advice it is given."""

    def __init__(self, memory):
        self.memory, self.advice = memory, []

    def __len__(self):
        return len(self.memory)

    def madvise(self, what, first, n):
        self.memory.madvise(what, first, n)
        self.advice.append((what, first, n))


@pytest.fixture
def rows(tmp_path):
    np.save(tmp_path / "rows.npy", np.arange(160_000.0).reshape(-1, 8))
    return np.load(tmp_path / "rows.npy", mmap_mode="r")


def advised(X, first, last):
    """The (first, last) bytes of the file that are asked for."""
    mapped = MappedRows.of(X)
    mapped._memory = Told(mapped._memory)
    mapped.will_need(first, last)
    for thread in threading.enumerate():
        if thread.name == "fastmix-read-ahead":
            thread.join()
    return [(begin, begin + n) for _, begin, n in mapped._memory.advice]


@pytest.mark.parametrize(
    "view", [np.asarray, lambda X: make_rows(X).X, lambda X: X[100:]], ids=["array", "Rows", "slice"]
)
def test_the_pages_of_the_rows_are_asked_for(view, rows):
    X = view(rows)
    ((begin, end),) = advised(X, 1000, 2000)
    with open(rows.filename, "rb") as file:
        content = file.read()[begin:end]
    assert X[1000:2000].tobytes() in content
    assert len(content) < 64 * 1000 + mmap.PAGESIZE


def test_nothing_is_asked_for_beyond_the_end(rows):
    ((_, end),) = advised(rows, 19_000, 30_000)
    assert end == 128 + 8 * rows.size
    assert advised(rows, 20_000, 30_000) == []


def test_other_memory_takes_no_advice(rows):
    assert MappedRows.of(np.array(rows)) is None
    assert MappedRows.of(rows[:, :2]) is None
    assert MappedRows.of(rows[::2]) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how much memory is anonymous")
def test_a_fit_of_a_map_takes_little_memory_of_its_own(tmp_path):
    run_python(
        """
        import warnings
        import numpy as np
        from fastmix import GaussianMixture

        warnings.simplefilter("ignore")

        def anonymous():
            with open("/proc/self/status") as status:
                return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))

        rows = np.lib.format.open_memmap("rows.npy", mode="w+", shape=(2_000_000, 8))
        rows[:] = np.random.default_rng(0).normal(size=8)
        rows[::3] += 5.0
        rows[::2] -= 1.0
        rows.flush()
        rows = np.load("rows.npy", mmap_mode="r")
        # Compiling takes memory, too.
        GaussianMixture(2, covariance_type="diag", random_state=0, max_iter=2).fit(rows[:100_000]).likelihoods(rows[:9])
        most = before = anonymous()

        def look(state):
            global most
            most = max(most, anonymous())

        model = GaussianMixture(2, covariance_type="diag", random_state=0, max_iter=2, callback=look).fit(rows)
        model.likelihoods(rows)
        assert max(most, anonymous()) - before < rows.nbytes / 4, (most - before) / 1e6
        """,
        tmp_path,
    )
