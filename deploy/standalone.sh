#!/bin/sh
# A worker and the engine that runs its jobs, in one container. When either ends, so does the other.
set -eu

dockerd --host=unix:///var/run/docker.sock --log-level=warn ${ASMAN_DOCKERD_OPTIONS:-} &
engine=$!
worker=
stopping=
stop() {
  stopping=yes
  # Draining may take as long as the jobs do, so the engine is stopped after the worker.
  if [ -n "$worker" ]; then kill -TERM "$worker" 2>/dev/null || true; else kill -TERM "$engine" 2>/dev/null || true; fi
}
trap stop TERM INT

waited=0
until [ -S /var/run/docker.sock ] && asman doctor --json >/dev/null 2>&1 || [ "$waited" -ge 60 ]; do
  if [ -n "$stopping" ]; then wait "$engine" || true; exit 0; fi
  kill -0 "$engine" 2>/dev/null || { echo "the engine did not start; run this image with --privileged" >&2; exit 1; }
  sleep 1
  waited=$((waited + 1))
done

asman worker "$@" &
worker=$!
code=0
# A signal ends `wait` early; the worker is waited for again until it has ended.
while kill -0 "$worker" 2>/dev/null; do
  wait "$worker" && code=0 || code=$?
  kill -0 "$engine" 2>/dev/null || kill -TERM "$worker" 2>/dev/null || true
done
kill -TERM "$engine" 2>/dev/null || true
wait "$engine" || true
exit "$code"
