#!/usr/bin/env bash
# All tests: the page's, then everything else. Arguments go to pytest.
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

page=0
if [ -f web/package.json ]; then
  say "The page's tests"
  npm --prefix web run --silent test </dev/null || page=$?
fi

say "pytest"
status=0
"$PYTHON" -m scripts.tests "$@" </dev/null || status=$?

[ "$page" -eq 0 ] || die "the page's tests failed"
exit "$status"
