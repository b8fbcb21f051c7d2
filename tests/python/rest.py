"""What the scripts share: PyIceberg on the REST catalog, and telling what is wrong."""

import sys

from pyiceberg.catalog import load_catalog


def catalog(address, warehouse, **properties):
    """The catalog of the server at host:port, at the ref `warehouse`."""
    return load_catalog(
        "rest", type="rest", uri=f"http://{address}/iceberg", warehouse=warehouse, **properties
    )


def check(what, found, expected):
    """Ends the program when the two are not equal."""
    if found != expected:
        sys.exit(f"{what}: {found!r}, not {expected!r}")
