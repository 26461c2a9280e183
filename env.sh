# Puts `vla`, `colcon` and (where there is one) `ros2` into a bash or zsh shell: source env.sh
# Run `make setup` first. Sourcing it twice does no harm.

if [ -n "${BASH_VERSION:-}" ]; then
  _vla_root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
elif [ -n "${ZSH_VERSION:-}" ]; then
  _vla_root="${${(%):-%x}:A:h}"
else
  _vla_root="$PWD"
fi

# These scripts read unset variables on purpose.
case $- in *u*) _vla_nounset=1; set +u ;; *) _vla_nounset= ;; esac

if [ ! -f "$_vla_root/.venv/.ros-prefix" ]; then
  echo "env.sh: the workspace is not set up yet; run: make -C '$_vla_root' setup" >&2
else
  _vla_prefix="$(cat "$_vla_root/.venv/.ros-prefix")"
  if [ -n "$_vla_prefix" ]; then
    . "$_vla_prefix/setup.${ZSH_VERSION:+z}${BASH_VERSION:+ba}sh"
  fi
  VIRTUAL_ENV_DISABLE_PROMPT=1 . "$_vla_root/.venv/bin/activate"
  if [ -z "$_vla_prefix" ]; then
    # The wheels find their libraries by this; set once, their start-up hook stays quiet.
    for _vla_libs in "$VIRTUAL_ENV"/lib/python3.*/site-packages/ros_*.libs "$VIRTUAL_ENV/lib"; do
      case ":${LD_LIBRARY_PATH:-}:" in
        *":$_vla_libs:"*) ;;
        *) export LD_LIBRARY_PATH="$_vla_libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" ;;
      esac
    done
    export _ROS_WHEELS_BOOTSTRAP_COMPLETE=1
    export ROS_DISTRO=jazzy ROS_VERSION=2 ROS_PYTHON_VERSION=3
    for _vla_name in AMENT_PREFIX_PATH CMAKE_PREFIX_PATH; do
      eval "_vla_value=\"\${$_vla_name:-}\""
      case ":$_vla_value:" in
        *":$VIRTUAL_ENV:"*) ;;
        *) eval "export $_vla_name=\"$VIRTUAL_ENV${_vla_value:+:$_vla_value}\"" ;;
      esac
    done
  fi
  # Nothing leaves this machine unless asked to: see docs for several machines.
  export ROS_AUTOMATIC_DISCOVERY_RANGE="${ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST}"
  if [ -f "$_vla_root/install/local_setup.sh" ]; then
    COLCON_CURRENT_PREFIX="$_vla_root/install" . "$_vla_root/install/local_setup.sh"
  fi
fi

[ -n "$_vla_nounset" ] && set -u
unset _vla_root _vla_nounset _vla_prefix _vla_libs _vla_name _vla_value
:
