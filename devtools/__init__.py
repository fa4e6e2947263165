"""Helpers that the scripts, the bench and the tests share: processes, engines, images, servers."""
