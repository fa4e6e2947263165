"""Means that an ordinary user has instead of root's rights: user namespaces with some ids, and a keeper of the files.

Way in: `ids.find_ids` (the ids that this user may give to containers) and `kept_files` (their files).
May import: `execution`, `files`, `oci.programs`.
"""
