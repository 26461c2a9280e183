#!/usr/bin/env bash
# Type-checks each package on its own: colcon packages share no import root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
status=0
for package in src/*/setup.py; do
  name="$(basename "$(dirname "$package")")"
  mypy --no-error-summary "src/$name/$name" || status=1
done
[ "$status" -eq 0 ] && echo "mypy: no errors"
exit "$status"
