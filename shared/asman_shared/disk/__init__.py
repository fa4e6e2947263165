"""Files of hubs and workers on their own disk.

Way in: `private_folder.private`. May import the root modules of `asman_shared` only.
"""
