"""Workflow engines that run to their end on a real hub with real containers (``make engines``)."""
