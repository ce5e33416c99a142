"""Small data sets, most with published fits, for examples, tests and the command line's ``dataset:NAME``.

faithful, 272 x 2
    Eruption length and waiting time of the Old Faithful geyser, Yellowstone, August 1985, in minutes. A. Azzalini and
    A. W. Bowman (1990), A look at some data on the Old Faithful geyser, Applied Statistics 39, 357-365; this version:
    W. Haerdle (1991), Smoothing Techniques with Implementation in S, Springer.
iris, 150 x 4
    Sepal and petal length and width of 50 flowers of each of three species, in cm. Collected by E. Anderson (1935), The
    irises of the Gaspe Peninsula, Bulletin of the American Iris Society 59, 2-5; published by R. A. Fisher (1936), The
    use of multiple measurements in taxonomic problems, Annals of Eugenics 7, 179-188.
galaxies, 82 x 1
    Velocities of galaxies in the Corona Borealis region, in 1000 km/s. M. Postman, J. P. Huchra and M. J. Geller
    (1986), Probes of large-scale structure in the Corona Borealis region, Astronomical Journal 92, 1238-1247; the 82
    galaxies used by K. Roeder (1990), Density estimation with confidence sets exemplified by superclusters and voids in
    the galaxies, Journal of the American Statistical Association 85, 617-624. The 78th value is 26690 km/s, as in the R
    packages mclust and MASS.
birthweight, 189 x 10
    Risk factors of low infant birth weight, Baystate Medical Center, Springfield, Massachusetts, 1986. D. W. Hosmer and
    S. Lemeshow (1989), Applied Logistic Regression, Wiley; as ``birthwt`` in the R package MASS, which goes with
    W. N. Venables and B. D. Ripley, Modern Applied Statistics with S, Springer.
airquality, 153 x 6, with missing entries
    Daily air quality measurements in New York, May to September 1973: ozone from the New York State Department of
    Conservation, weather from the National Weather Service. J. M. Chambers, W. S. Cleveland, B. Kleiner and P. A. Tukey
    (1983), Graphical Methods for Data Analysis, Wadsworth; as ``airquality`` in R. Ozone is missing on 37 days, solar
    radiation on 7, both on 2.
cement, 13 x 5
    Four constituents of Portland cement and the heat that it gives off while hardening. H. Woods, H. H. Steinour and H. R.
    Starke (1932), Effect of composition of Portland cement on heat evolved during hardening, Industrial and Engineering
    Chemistry 24, 1207-1214; as in A. Hald (1952), Statistical Theory with Engineering Applications, Wiley. Entries are
    missing where R. J. A. Little and D. B. Rubin, Statistical Analysis with Missing Data, Wiley, take them away: x1 and x2
    in the last four rows, x4 in the last seven.
earthquakes, 107 x 1
    Earthquakes of magnitude 7 and more in the world, by year, 1900 to 2006: counts of the U.S. Geological Survey, which are in
    the public domain; as in W. Zucchini and I. L. MacDonald (2009), Hidden Markov Models for Time Series, Chapman and Hall.
lsat7, 32 x 6
    Answers of 1000 people to five items of the Law School Admission Test, section 7: each pattern of right (1) and wrong (0)
    answers with how many gave it. R. D. Bock and M. Lieberman (1970), Fitting a response model for n dichotomously scored items,
    Psychometrika 35, 179-197.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray

__all__ = ["DATASET_NAMES", "Dataset", "load_dataset"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """One data set.

    Attributes
    ----------
    data : ndarray of shape (N, D), float64
        The numeric columns, one row an observation; NaN where an entry is missing ("airquality", "cement").
    feature_names : tuple of D str
        What each column of ``data`` is called.
    target : ndarray of shape (N,) of str, or None
        The published class of each row; None where the data has none.
    description : str
        What was measured, in which units.
    """

    data: NDArray[np.float64]
    feature_names: tuple[str, ...]
    target: NDArray[np.str_] | None
    description: str


@dataclass(frozen=True, eq=False)
class _Source:
    """How a bundled file becomes a Dataset: the column of labels (if any) and the unit that values are divided by."""

    description: str
    target_column: str | None = None
    unit: float = 1.0


_SOURCES = {
    "faithful": _Source("Old Faithful geyser: eruption length and waiting time to the next eruption, in minutes."),
    "iris": _Source("Iris flowers: sepal and petal length and width, in centimetres; target: the species.", "Species"),
    "galaxies": _Source(
        "Velocities of 82 galaxies in the Corona Borealis region, in 1000 km/s (mclust divides so too).", unit=1000.0
    ),
    "birthweight": _Source(
        "Births: low (weight under 2.5 kg), mother's age (years), lwt (weight in pounds), race (1 white, 2 black, "
        "3 other), smoke, ptl (earlier premature labours), ht (hypertension), ui (uterine irritability), ftv "
        "(physician visits in the first trimester), bwt (birth weight in grams)."
    ),
    "airquality": _Source(
        "Air quality in New York, May to September 1973, a day a row: mean ozone from 13 to 15 h at Roosevelt Island (parts "
        "per billion), solar radiation from 8 to 12 h at Central Park (langley, 4000 to 7700 Angstrom), mean wind at 7 and "
        "10 h (miles an hour) and highest temperature (degrees Fahrenheit) at LaGuardia Airport, month, day; NaN: missing."
    ),
    "cement": _Source(
        "Portland cement: per cent by weight of tricalcium aluminate (x1), tricalcium silicate (x2), tetracalcium "
        "aluminoferrite (x3) and dicalcium silicate (x4), and the heat evolved in 180 days of hardening, in calories a gram "
        "(y); 15 entries are missing (NaN)."
    ),
    "earthquakes": _Source(
        "Earthquakes of magnitude 7 and more in the world: a count for each year from 1900 to 2006."
    ),
    "lsat7": _Source(
        "Law School Admission Test, section 7: right (1) or wrong (0) answers to five items, and how many of 1000 people gave "
        "them."
    ),
}

DATASET_NAMES: tuple[str, ...] = tuple(_SOURCES)


def load_dataset(name: str) -> Dataset:
    """Load one of the bundled data sets; nothing is downloaded.

    Parameters
    ----------
    name : {"faithful", "iris", "galaxies", "birthweight", "airquality", "cement", "earthquakes", "lsat7"}
        Which one. ``fastmix.datasets.__doc__`` names the published source of each.

    Returns
    -------
    Dataset
        With arrays of its own: changing them changes no later call's.

    Raises
    ------
    ValueError
        If there is no data set of that name.

    Examples
    --------
    >>> from fastmix.datasets import load_dataset
    >>> load_dataset("faithful").data.shape
    (272, 2)
    """
    source = _SOURCES.get(name) if isinstance(name, str) else None
    if source is None:
        raise ValueError(f"name={name!r} is not a bundled data set; choose one of {', '.join(DATASET_NAMES)}")
    text = resources.files(__name__).joinpath(f"{name}.csv").read_text(encoding="utf-8")
    header, *rows = csv.reader(text.splitlines())
    columns = [index for index, column in enumerate(header) if column != source.target_column]
    data = np.array([[_number(row[index]) for index in columns] for row in rows]) / source.unit
    target = None
    if source.target_column is not None:
        target = np.array([row[header.index(source.target_column)] for row in rows])
    return Dataset(data, tuple(header[index] for index in columns), target, source.description)


def _number(entry: str) -> float:
    """An entry of a bundled file; NaN for nothing, and for the NA that R writes, where one is missing."""
    return np.nan if entry in ("", "NA") else float(entry)
