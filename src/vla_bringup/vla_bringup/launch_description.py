"""Turns the graphs into launch descriptions; the launch files call nothing else.

The only module that imports ``launch``, which is not installed on every route.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Sequence
from functools import partial

from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.event_handlers import OnProcessExit, OnShutdown
from launch.events import matches_action
from launch.events.process import ProcessExited, SignalProcess
from launch.launch_context import LaunchContext
from launch.launch_description import LaunchDescription
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from vla_bringup.evaluation_arguments import EVALUATION_ARGUMENTS, evaluation_command
from vla_bringup.graph import GRAPHS, LIFECYCLE_MANAGER, GraphKind
from vla_bringup.graph_arguments import Argument, GraphOptions
from vla_bringup.graph_exit import GraphFailure, describe_exit
from vla_bringup.graph_restarts import RESTART_DELAY_S
from vla_bringup.node_spec import Graph, NodeSpec, OnExit
from vla_bringup.preflight import check_graph, release


def launch_description(
    name: str, check: Callable[[Graph, GraphOptions], None] = check_graph
) -> LaunchDescription:
    """The launch description of a graph.

    Args:
        name: dock, record or sim.
        check: run before anything is started; raises VlaError.
    """
    kind = GRAPHS[name]
    return LaunchDescription(
        [
            *(_declare(argument) for argument in kind.arguments),
            OpaqueFunction(function=partial(_start, kind, check)),
        ]
    )


def evaluation_description() -> LaunchDescription:
    """The launch description of an evaluation: one process, whose end is the end."""
    return LaunchDescription(
        [
            *(_declare(argument) for argument in EVALUATION_ARGUMENTS),
            OpaqueFunction(function=_evaluate),
        ]
    )


def node_action(spec: NodeSpec, *, respawn: bool = False) -> Node:
    """The launch_ros action that starts a node.

    Args:
        spec: of the node.
        respawn: whether it is started again when it has ended.
    """
    return Node(
        package=spec.package,
        executable=spec.executable,
        name=spec.name,
        namespace=spec.namespace,
        exec_name=spec.name,
        parameters=[*spec.parameter_files, dict(spec.parameters)],
        remappings=list(spec.remappings),
        arguments=list(spec.arguments),
        ros_arguments=["--log-level", spec.log_level],
        output="screen",
        additional_env={"PYTHONUNBUFFERED": "1", **spec.environment},
        prefix=_orphan_guard(),
        respawn=respawn,
        respawn_delay=RESTART_DELAY_S,
    )


def _declare(argument: Argument) -> DeclareLaunchArgument:
    return DeclareLaunchArgument(
        argument.name,
        default_value=argument.default,
        description=argument.description,
        choices=argument.choices or None,
    )


def _orphan_guard() -> list[str | LaunchConfiguration]:
    """Prefix that ends a node when ``ros2 launch`` is gone.

    launch leaves its processes running when it gets SIGTERM or SIGKILL; setpriv (util-linux) has
    the kernel pass that on.
    """
    setpriv = shutil.which("setpriv")
    guard: list[str | LaunchConfiguration] = [f"{setpriv} --pdeathsig TERM -- "] if setpriv else []
    return [*guard, LaunchConfiguration("launch-prefix", default="")]


def _evaluate(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    values = {
        argument.name: context.launch_configurations[argument.name]
        for argument in EVALUATION_ARGUMENTS
    }
    program = ExecuteProcess(
        cmd=evaluation_command(values),
        name="evaluation",
        output="screen",
        additional_env={"PYTHONUNBUFFERED": "1"},
        prefix=_orphan_guard(),
        # It still has to end its own graph.
        sigterm_timeout="30",
        sigkill_timeout="10",
    )

    def on_exit(
        event: ProcessExited, context: LaunchContext
    ) -> Sequence[LaunchDescriptionEntity] | None:
        if context.is_shutdown:
            return None
        if event.returncode != 0:
            reason = describe_exit("evaluation", event.returncode, "its error is above")
            raise GraphFailure(reason)
        return [Shutdown(reason="the evaluation is done")]

    return [RegisterEventHandler(OnProcessExit(target_action=program, on_exit=on_exit)), program]


def _start(
    kind: GraphKind, check: Callable[[Graph, GraphOptions], None], context: LaunchContext
) -> list[LaunchDescriptionEntity]:
    values = {
        argument.name: context.launch_configurations[argument.name] for argument in kind.arguments
    }
    graph, options = kind.from_values(values)
    check(graph, options)
    # The manager takes the others down when one is gone, ends, and brings all of them up again.
    restarts = options.on_failure == "restart"
    actions = {
        spec.name: node_action(spec, respawn=restarts and spec.on_exit is OnExit.FAIL)
        for spec in graph.nodes
    }
    ending = _Ending(actions.get(LIFECYCLE_MANAGER))
    handlers = [
        RegisterEventHandler(
            OnProcessExit(target_action=actions[spec.name], on_exit=partial(ending.on_exit, spec))
        )
        for spec in graph.nodes
        if spec.on_exit is not OnExit.IGNORE and not restarts
    ]
    # A process that launches again and again (tests do) outlives this graph.
    handlers.append(
        RegisterEventHandler(OnShutdown(on_shutdown=lambda _event, _context: release(options)))
    )
    return [*handlers, *actions.values()]


class _Ending:
    """Ends a graph in order: the lifecycle manager takes the nodes down, then all else stops."""

    def __init__(self, manager: Node | None) -> None:
        self._manager = manager
        self._failure: str | None = None
        self._finished = False

    def on_exit(
        self, spec: NodeSpec, event: ProcessExited, context: LaunchContext
    ) -> Sequence[LaunchDescriptionEntity] | None:
        """Decide what the end of a process means.

        Raises:
            GraphFailure: it means that the launch has failed; launch prints it, shuts the rest
                down and exits with code 1.
        """
        if context.is_shutdown:
            return None
        first = self._failure is None and not self._finished
        if first:
            if spec.on_exit is OnExit.FINISH and event.returncode == 0:
                self._finished = True
            elif spec.name == LIFECYCLE_MANAGER:
                self._failure = "lifecycle_manager ended the graph; its error is above"
            else:
                self._failure = describe_exit(spec.name, event.returncode, "its error is above")
        if self._manager is not None and spec.name != LIFECYCLE_MANAGER:
            if not first:
                return None
            return [
                EmitEvent(
                    event=SignalProcess(
                        signal_number=signal.SIGINT, process_matcher=matches_action(self._manager)
                    )
                )
            ]
        if self._failure is not None:
            raise GraphFailure(self._failure)
        return [Shutdown(reason="the instruction is carried out")]
