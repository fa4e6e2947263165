"""Answers HTTP: the table of addresses, their endpoints, the page, the metrics and the OpenAPI document.

Way in: `operations` (every address in one table) and `base` (turns an endpoint's answer or error into a response).
May import: `hub` and all below, see the layers in `pyproject.toml`.
"""
