"""Drive the robot by keyboard or joystick, and record demonstrations.

  vla teleop --instruction "dock at the orange charger"
  vla teleop --joy --deadman 4

Keys drive while they are held; h shows them all. Space is an emergency stop. The robot stops when
a key is let go, when the terminal is closed and when this program ends in whatever way. With a
graph that was started with teleop:=true, the first key takes over from the policy and g gives back.
"""

from __future__ import annotations

import argparse
import getpass
from pathlib import Path

from vla_bringup.resources import default_contract

HELP = "drive by keyboard or joystick, record demonstrations"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--instruction", default="", metavar="TEXT", help="the sentence that is demonstrated"
    )
    parser.add_argument(
        "--operator", metavar="NAME", help="kept in the bags (default: the user's name)"
    )
    parser.add_argument(
        "--contract",
        type=Path,
        default=default_contract(),
        metavar="FILE",
        help="limits, rate and topic of the commands",
    )
    parser.add_argument("--namespace", default="", help="namespace of the robot")
    parser.add_argument(
        "--speed",
        type=int,
        default=3,
        choices=range(1, 7),
        metavar="1..6",
        help="step of speed to begin with (default %(default)s: 35 %% of the contract's limits)",
    )
    parser.add_argument(
        "--max-duration",
        type=float,
        default=120.0,
        metavar="S",
        help="longest episode (default %(default)g; 0: no limit)",
    )
    keyboard = parser.add_argument_group("keyboard")
    keyboard.add_argument(
        "--key-delay",
        type=float,
        default=0.7,
        metavar="S",
        help="a key counts as held for this long before it repeats (default %(default)g)",
    )
    keyboard.add_argument(
        "--key-repeat",
        type=float,
        default=0.2,
        metavar="S",
        help="and for this long after each repetition (default %(default)g)",
    )
    joystick = parser.add_argument_group("joystick")
    joystick.add_argument("--joy", action="store_true", help="listen to the topic joy, too")
    joystick.add_argument(
        "--deadman", type=int, default=4, metavar="N", help="button to hold (default %(default)s)"
    )
    joystick.add_argument(
        "--linear-axis", type=int, default=1, metavar="N", help="forward (default %(default)s)"
    )
    joystick.add_argument(
        "--angular-axis", type=int, default=3, metavar="N", help="left (default %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from vla_bringup.preflight import current_domain_id
    from vla_core.contract import Contract
    from vla_recorder.errors import TeleopError
    from vla_recorder.teleop.joystick import JoystickMap
    from vla_recorder.teleop.operation import HoldTimes
    from vla_recorder.teleop.program import TeleopOptions, drive

    current_domain_id()
    hold = HoldTimes(args.key_delay, args.key_repeat)
    for name, value in (("--key-delay", hold.first_s), ("--key-repeat", hold.repeat_s)):
        if not 0.0 < value <= 2.0:
            raise TeleopError(f"{name} is {value:g} s, expected above 0 and at most 2 s")
    if not 0.0 <= args.max_duration < float("inf"):
        raise TeleopError(f"--max-duration is {args.max_duration:g} s, expected 0 or more")
    return drive(
        TeleopOptions(
            contract=Contract.load(args.contract),
            namespace=args.namespace,
            instruction=args.instruction,
            operator=args.operator or getpass.getuser(),
            max_duration_s=args.max_duration,
            hold=hold,
            joystick=JoystickMap(args.deadman, args.linear_axis, args.angular_axis)
            if args.joy
            else None,
            speed_index=args.speed - 1,
        )
    )
