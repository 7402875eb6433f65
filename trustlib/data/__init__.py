"""Data sets by name: verified against their SHA-256, with public ranges, data cards and a log of what was used.

A file is looked for under ``$TRUSTLIB_DATA``, then in the user's cache (moved by ``$TRUSTLIB_CACHE``), then
downloaded. Nothing is replaced silently: an absent file is a `DataNotFoundError`, an altered one a `ChecksumError`.
"""

from trustlib.data import (
    catalogue_embedded_images,
    catalogue_graphs,
    catalogue_hub_images,
    catalogue_images,
    catalogue_tables,
)
from trustlib.data.access import Status, fetch, known_sha256, local_file, locate, log_use, status, used
from trustlib.data.cards import DataCard, NullBaseline, card, null_baseline
from trustlib.data.encoding import Design, encode_table
from trustlib.data.errors import ChecksumError, DataNotFoundError, UnknownDatasetError
from trustlib.data.folders import cache_folder, data_folder
from trustlib.data.geometric import import_geometric
from trustlib.data.graphs import Graph, load_graph
from trustlib.data.images import Images, load_images
from trustlib.data.registry import available, dataset, register, unregister
from trustlib.data.scenes import SceneBatch, SceneNulls, make_scenes, scene_nulls
from trustlib.data.schemas import Column, category, number
from trustlib.data.specs import DatasetSpec, Embedded, FileSpec
from trustlib.data.tables import Table, load_table

__all__ = [
    "ChecksumError",  # a file is not the one the registry knows
    "Column",  # public description of a table's column
    "DataCard",  # what to know before trusting a number
    "DataNotFoundError",  # neither at hand nor reachable
    "DatasetSpec",  # a registered data set
    "Design",  # an encoded table with its bounds
    "Embedded",  # source of a data set without files
    "FileSpec",  # one file of a data set
    "Graph",  # an undirected graph with features and classes
    "Images",  # an image set in memory
    "NullBaseline",  # what knowing nothing reaches
    "SceneBatch",  # drawn scenes with all that is known of them
    "SceneNulls",  # what knowing nothing reaches on scenes
    "Status",  # whether a data set is at hand
    "Table",  # rows and column descriptions
    "UnknownDatasetError",  # no such name
    "available",  # names of data sets
    "cache_folder",  # where downloads go
    "card",  # the data card of a data set
    "category",  # describe a categorical column
    "data_folder",  # what $TRUSTLIB_DATA names
    "dataset",  # the registry's entry
    "encode_table",  # table to design matrix
    "fetch",  # bring a data set to this machine
    "import_geometric",  # torch_geometric, quietly
    "known_sha256",  # hash of a data set
    "load_graph",  # a graph by name, or of a file
    "load_images",  # images by name, or of a folder
    "load_table",  # a table by name
    "local_file",  # verified path of one part
    "locate",  # where a data set is
    "log_use",  # note the use of an embedded data set
    "make_scenes",  # draw scenes
    "null_baseline",  # null baselines of a table
    "number",  # describe a numeric column
    "register",  # make a data set known
    "scene_nulls",  # null baselines of scenes
    "status",  # whether a data set is at hand
    "unregister",  # forget a data set
    "used",  # what this process was given
]

# Importing the catalogues registers their data sets; their names are of no use to a reader.
del catalogue_embedded_images, catalogue_graphs, catalogue_hub_images, catalogue_images, catalogue_tables
