#!/usr/bin/env bash
# Find or start a container engine by hand: scripts/engine.sh start|stop|status
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
python=.venv/bin/python
[ -x "$python" ] || python=python3
exec "$python" -m devtools.engine "$@"
