"""Runs attempts in containers: their configuration, network, output, and the engine that all of them share.

Way in: `docker_executor.DockerExecutor`.
May import: `builds`, `images`, `execution`, `files`, `hub_link`, `config`; not `attempts`.
"""
