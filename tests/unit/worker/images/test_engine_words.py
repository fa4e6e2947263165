"""The part of an engine's words that submitters are told."""

from __future__ import annotations

import pytest

from asman_worker.images.engine_words import blames_job, told

EXEC = "failed to create task: OCI runtime create failed: runc: "


@pytest.mark.parametrize(
    ("said", "told_of_it"),
    [
        (
            f'{EXEC}exec: "foo": executable file not found in $PATH: unknown',
            'exec: "foo": executable file not found in $PATH',
        ),
        (f'{EXEC}exec: "/": permission denied: unknown', 'exec: "/": permission denied'),
        (
            f'{EXEC}exec: "/x": stat /x: no such file or directory: unknown',
            'exec: "/x": stat /x: no such file or directory',
        ),
        ("x: starting container process caused: no space left on device: unknown", "no space left on device"),
        (
            "The command '/bin/sh -c exit 7' returned a non-zero code: 7",
            "The command '/bin/sh -c exit 7' returned a non-zero code: 7",
        ),
        (
            "COPY failed: file not found in build context or excluded by .dockerignore: stat a: file does not exist",
            "COPY failed: file not found in build context or excluded by .dockerignore: stat a: file does not exist",
        ),
        (
            "runc create failed: error during container init: mkdir /inputs/x: read-only file system: unknown",
            "mkdir /inputs/x: read-only file system",
        ),
        (
            "cannot mount volume over existing file, file exists /srv/engine/merged/etc/hosts",
            "cannot mount volume over existing file",
        ),
        ("uids and gids must be in range 0-2147483647", None),
        ("Invalid signal: SIGFOO", None),
        ("Cannot mkdir: /bin/busybox is not a directory", None),
        ("unable to find user me: no matching entries in passwd file", None),
        ("failed to reach build target x in Dockerfile", None),
    ],
)
def test_what_is_about_the_job_is_told(said: str, told_of_it: str | None) -> None:
    assert told(said) == (said if told_of_it is None else told_of_it)


@pytest.mark.parametrize(
    "said",
    [
        "Get https://r.lan/v2/: dial tcp: lookup r.lan on 10.0.0.2:53: no such host",
        "Get http://10.0.0.3:5000/v2/: proxyconnect tcp: dial tcp 10.0.0.1:3128: connect: connection refused",
        "error creating overlay mount to /var/lib/docker/overlay2/0/merged: invalid argument",
        "driver failed programming external connectivity on endpoint x: iptables failed: -d 172.17.0.2",
        "COPY failed: stat /var/lib/docker/tmp/docker-builder1: input/output error",
        "mkdir /var/lib/docker/tmp/x: read-only file system",
        "",
    ],
)
def test_what_may_be_about_the_workers_machine_is_not(said: str) -> None:
    assert not told(said)


def test_what_is_about_the_jobs_texts_is_the_jobs_fault_and_a_full_machine_is_not() -> None:
    assert blames_job("unable to find user me: no matching entries in passwd file")
    assert not blames_job("x: no space left on device")
    assert not blames_job('could not select device driver "" with capabilities: [[gpu]]')
