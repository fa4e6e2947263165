"""Runs attempts in containers: their configuration, network, output, and the engine that all of them share.

Way in: `docker_executor.DockerExecutor`.
May import: `builds`, `attempts`, `images`, `execution`, `config`, `files`, `hub_link`; not `queue_worker`.
"""
