#!/usr/bin/env bash
# Builds the documentation site: reference pages from the code, then MkDocs, in out/site. A warning fails.
#
#   scripts/docs/build.sh          build
#   scripts/docs/build.sh serve    build, and serve on this machine with reloading; Ctrl-C ends it
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=/dev/null
. ./env.sh

export NO_MKDOCS_2_WARNING=1  # the theme advertises its successor, which reads the same mkdocs.yml

# MkDocs and its theme have an environment of their own: the workspace does not depend on them.
tools=build/docs/venv
if ! cmp -s docs/requirements.txt "$tools/.requirements"; then
  echo "[docs] installing MkDocs into $tools"
  rm -rf "$tools"
  python -m venv "$tools"
  "$tools/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r docs/requirements.txt
  cp docs/requirements.txt "$tools/.requirements"
fi

python scripts/docs/reference_pages.py build/docs/reference >/dev/null
if [ "${1:-build}" = serve ]; then
  exec "$tools/bin/mkdocs" serve --strict
fi
"$tools/bin/mkdocs" build --strict  # with --quiet it would not count warnings
echo "[docs] out/site/index.html"
