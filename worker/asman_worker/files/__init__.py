"""Moves and keeps files: the hub's blobs, downloads from other addresses, the cache, and the data folder.

Way in: `blobs` (the hub's store), `cache.FileCache` (files kept between jobs), `data_dir.DataDir` (the worker's folder)
and `address_guard` (addresses that jobs may not reach).
May import: `hub_link`; not `config`.
"""
