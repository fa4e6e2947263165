"""Moves and keeps files: the hub's blobs, downloads from other addresses, the cache, and the data folder.

Way in: `blobs` (the hub's store), `cache.FileCache` (files kept between jobs) and `data_dir.DataDir` (the worker's
folder).
May import: `hub_link`; not `config`.
"""
