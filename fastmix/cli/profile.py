"""``fastmix profile``: where the time of an iteration goes, beside what the machine can do."""

from __future__ import annotations

import argparse

from fastmix.cli import arguments as shared
from fastmix.cli import output

_COVARIANCES = ("full", "tied", "diag", "spherical", "tied_diag", "tied_spherical")


def add_parser(subparsers: shared.Subparsers) -> None:
    parser = subparsers.add_parser(
        "profile",
        help="see where an iteration's time goes",
        description="Time the phases of one iteration and compare them with the machine's limits, measured meanwhile. "
        "Without DATA, rows are drawn from overlapping Gaussians.",
    )
    shared.add_data(parser, optional=True)
    parser.add_argument("-n", "--rows", type=shared.positive_int, metavar="N", help="to draw (default: 1000000)")
    parser.add_argument("-d", "--features", type=shared.positive_int, metavar="D", help="to draw (default: 8)")
    parser.add_argument(
        "-k",
        "--components",
        type=shared.positive_int,
        default=16,
        metavar="K",
        help="or clusters (default: %(default)s)",
    )
    parser.add_argument("--covariance", choices=_COVARIANCES, help="(default: full)")
    parser.add_argument("--kmeans", action="store_true", help="profile K-means instead of a Gaussian mixture")
    parser.add_argument(
        "--dtype", choices=("float64", "float32"), default="float64", help="of the arithmetic (default: %(default)s)"
    )
    parser.add_argument("--data-dtype", choices=("float64", "float32"), help="of the rows to draw (default: float64)")
    shared.add_threads(parser)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: two seconds, less repeatable")
    parser.add_argument("--plot", metavar="PICTURE", help="save a roofline picture: a .png, .svg or .pdf file")
    shared.add_json(parser)
    shared.add_quiet(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    from fastmix.cli.data import read_data
    from fastmix.cli.progress import open_stages
    from fastmix.profiling import profile

    if arguments.plot is not None:
        _check_picture(arguments.plot)
    data = None if arguments.data is None else read_data(arguments).X
    with open_stages(arguments.quiet) as tell:
        report = profile(
            data,
            arguments.components,
            n_rows=arguments.rows,
            n_features=arguments.features,
            model="kmeans" if arguments.kmeans else "mixture",
            covariance_type=arguments.covariance,
            data_dtype=arguments.data_dtype,
            dtype=arguments.dtype,
            n_threads=arguments.threads,
            quick=arguments.quick,
            callback=tell,
        )
    if arguments.json:
        output.print_json(report.to_dict())
    else:
        print(report)
    if arguments.plot is not None:
        report.plot(arguments.plot)
        if not arguments.json:
            print(f"picture         {arguments.plot}")


def _check_picture(path: str) -> None:
    """Find out before the measurement whether a picture can be made."""
    from fastmix.files.atomicfile import check_writable

    try:
        from fastmix.profiling.picture import picture_format
    except ImportError:
        raise ValueError("--plot needs matplotlib; get it with: pip install 'fastmix[plot]'") from None
    picture_format(path)
    check_writable(path)
