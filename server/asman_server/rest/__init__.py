"""Answers HTTP: the table of addresses, their endpoints, the page, the metrics and the OpenAPI document.

Way in: `operations` (every address in one table) and `base` (turns an endpoint's answer or error into a response).
May import: `hub`, `logs`, `queues`, `blobs`, `storage`, `delivery`, `core`, and the hub's root helpers; neither
`sessions` nor `dialect`.
"""
