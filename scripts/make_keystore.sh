#!/usr/bin/env bash
# Makes an SROS2 keystore for the graph: an authority, and for every enclave of security/policy.xml a key and signed
# permissions. Needs a system ROS 2 with sros2. See docs/security.md.
#
#   scripts/make_keystore.sh FOLDER
set -euo pipefail

[ "$#" -eq 1 ] || { echo "usage: scripts/make_keystore.sh FOLDER" >&2; exit 2; }
keystore="$1"
policy="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/src/vla_bringup/security/policy.xml"

if [ -e "$keystore" ] && [ -n "$(ls -A "$keystore" 2>/dev/null)" ]; then
  echo "make_keystore.sh: error: $keystore is not empty; keys are never replaced: choose another folder" >&2
  exit 1
fi
if ! command -v ros2 >/dev/null || ! ros2 security --help >/dev/null 2>&1; then
  echo "make_keystore.sh: error: there is no \`ros2 security\`; install ros-jazzy-sros2 and source ROS 2" >&2
  exit 1
fi

umask 077
ros2 security generate_artifacts --keystore-root-path "$keystore" --policy-files "$policy"
echo "$keystore: move private/ca.key.pem off the robot"
