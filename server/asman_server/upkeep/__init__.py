"""Looks after a hub's store as a whole: backs it up, restores it, checks it and moves it.

The commands of the same names are the way in. *Objects* (`objects`) are named bytes in a folder or in S3: the
blobs of a hub, or a backup. A *snapshot* (`snapshot`) is a copy of SQLite's file as of one commit. All work goes on in
pages, so the memory that it takes does not grow with the store.

Way in: `backup.Backup`, `restore.restore`, `check.Check`, `move.Move`.
May import: `hub` and all below, see the layers in `pyproject.toml`.
"""
