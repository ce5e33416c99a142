"""``fastmix info``: what a model file holds."""

from __future__ import annotations

import argparse

from fastmix.cli import arguments as shared
from fastmix.cli import output


def add_parser(subparsers: shared.Subparsers) -> None:
    parser = subparsers.add_parser(
        "info", help="what a model file holds", description="Print what MODEL holds, after checking that it is whole."
    )
    shared.add_model(parser)
    shared.add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    from fastmix.estimators.loading import load, read_model

    load(arguments.model)
    header, _ = read_model(arguments.model)
    if arguments.json:
        output.print_json(header)
        return
    print(f"{header['class']}, format version {header['format_version']}, by fastmix {header['fastmix_version']}")
    print(f"seed: {header['seed']}")
    if header["feature_names"]:
        print(f"features: {', '.join(header['feature_names'])}")
    print("fit:")
    for name, value in header["fit"].items():
        print(f"  {name} = {value}")
    print("parameters:")
    for name, value in header["parameters"].items():
        print(f"  {name} = {'(not stored)' if name in header['not_stored'] else repr(value)}")
    print("arrays:")
    for name, array in header["arrays"].items():
        print(f"  {name}: {array['dtype']} {tuple(array['shape'])}")
