#!/usr/bin/env bash
# Runs `colcon test` over the workspace and prints what it found. Exit status: non-zero on any failure,
# on any error, and where a package ran no test at all (which colcon itself counts as success).
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
# shellcheck source=/dev/null
. ./env.sh

# One package at a time: the end-to-end tests hold a 20 Hz loop and want the cores to themselves.
# Real processes meet real clocks: on a machine that others use too, a test may fail by a pause of
# seconds. It gets one more try, and -rR names every test that needed it. Property tests try the
# same examples every time; run by hand, they look for new ones.
run_tests() {
  python -m colcon --log-base log test --merge-install --executor sequential --metas colcon.meta \
    --event-handlers console_direct+ desktop_notification- --retest-until-pass 1 \
    --pytest-args --color=no -rR --hypothesis-profile=ci "$@"
}

rm -rf build/*/pytest.xml
run_tests "$@"
colcon_status=$?

# What colcon writes where pytest itself died, as it does when rclpy crashes while a node is destroyed.
# All tests of such a package run once more; the summary below counts every package's last run.
crashed=$(grep -l 'pytest\.missing_result' build/*/pytest.xml 2>/dev/null | xargs -r -n1 dirname | xargs -r -n1 basename)
if [ -n "$crashed" ]; then
  echo "RERUN: the interpreter crashed in the tests of ${crashed//$'\n'/ }"
  (cd build && for package in $crashed; do rm -f "$package/pytest.xml"; done)
  # shellcheck disable=SC2086
  run_tests --packages-select $crashed "$@"
  colcon_status=$?
fi

python scripts/summarize_tests.py build src
summary_status=$?
[ "$colcon_status" -eq 0 ] && [ "$summary_status" -eq 0 ]
