#!/usr/bin/env bash
# Runs the command in the workspace's shell.
set -e
# shellcheck source=/dev/null
source /home/robot/vla/env.sh
exec "$@"
