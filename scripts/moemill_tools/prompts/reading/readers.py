"""The reader for each kind of source."""
from .read import read_csv, read_json
from .read_hdf5 import read_hdf5
from .read_tables import read_arrow, read_parquet

READERS = {"jsonl": read_json, "csv": read_csv, "tsv": read_csv, "parquet": read_parquet, "arrow": read_arrow, "hdf5": read_hdf5}
