"""The processes of the campaign: policy node, robot, policy server, and who watches them."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Final

import psutil

from vla_bringup.faults.errors import CampaignError, TrialError
from vla_bringup.faults.helper_process import HelperProcess
from vla_bringup.faults.kinds import Stack
from vla_bringup.faults.link import Link
from vla_bringup.faults.observer import Goal, Observer
from vla_bringup.graph import POLICY, NodeSpec
from vla_bringup.node_process import die_with_parent, node_command
from vla_core.contract import Contract
from vla_policy_node.control.pair import transport_settings

ACTIVE_TIMEOUT_S: Final = 60.0
MOVES: Final = 0.1
"""Speed from which the robot counts as moving [m/s or rad/s]."""

_MOVE_TIMEOUT_S: Final = 20.0
_STOP_TIMEOUT_S: Final = 5.0
_POLL_S: Final = 0.005
_RETRY_S: Final = 0.4
_MODULES: Final = {
    "inference": "vla_policy_node.inference.worker",
    "control": "vla_policy_node.control.process",
    "watchdog": "vla_policy_node.control.watchdog_process",
}


class Rig:
    """Starts everything, and whatever a fault has ended again.

    Args:
        stack: how the policy node runs.
        contract: file of the robot's contract.
        policy: bundle whose graph is marked, see `marked_graph.py`.
        seed: of what the robot sees.
        folder: takes the logs.
        observer: of the campaign.
    """

    def __init__(
        self,
        stack: Stack,
        contract: Path,
        policy: Path,
        seed: int,
        folder: Path,
        observer: Observer,
    ) -> None:
        self._stack = stack
        self._contract_path = contract
        self._policy = policy
        self._folder = folder
        self.contract = Contract.load(contract)
        self.observer = observer
        self._server: HelperProcess | None = None
        self._link: Link | None = None
        self._node: subprocess.Popen | None = None
        arguments = [str(contract), str(seed)]
        if stack is Stack.SIMULATED:
            arguments.append("simulated")
        # Shared memory of Fast DDS keeps a writer waiting whose reader was stopped: what the robot
        # publishes would be late for reasons that no robot on another machine has.
        self.robot = HelperProcess(
            "vla_bringup.faults.robot_process",
            arguments,
            folder / "robot.log",
            transport_settings(),
        )
        self.instruction = str(self.robot.ready["instruction"])
        if stack is Stack.REMOTE:
            self._start_server()

    @property
    def server(self) -> HelperProcess:
        """The policy server."""
        if self._server is None:
            raise CampaignError("there is no policy server in this trial")
        return self._server

    @property
    def link(self) -> Link:
        """Between node and policy server."""
        if self._link is None:
            raise CampaignError("there is no policy server in this trial")
        return self._link

    def pid(self, target: str) -> int:
        """Of a process by its part.

        Raises:
            TrialError: it does not run.
        """
        if target == "server":
            return self.server.pid
        node = self._node
        if node is not None and self.node_runs:
            if target == "node":
                return node.pid
            for child in psutil.Process(node.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if _MODULES[target] in child.cmdline():
                        return int(child.pid)
        raise TrialError(f"there is no {target} process")

    @property
    def node_runs(self) -> bool:
        """Whether the policy node's process exists."""
        return self._node is not None and self._node.poll() is None

    @staticmethod
    def is_running(pid: int) -> bool:
        """Whether the process exists and is no zombie."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
        return False

    def make_ready(self) -> None:
        """Start what does not run, and have the node active.

        Raises:
            TrialError: it does not become active.
            CampaignError: the robot or the server is gone for good.
        """
        if self._stack is Stack.REMOTE and not self.server.is_alive():
            self.server.close()
            self._start_server()
        if not self.node_runs:
            self.stop_node()
            self._start_node()
        self.observer.activate(ACTIVE_TIMEOUT_S)

    def drive(self) -> Goal:
        """Send goals until the robot moves by one of them.

        Raises:
            TrialError: it does not.
        """
        deadline_s = time.monotonic() + _MOVE_TIMEOUT_S
        reason = "nobody took the goal"
        while time.monotonic() < deadline_s:
            self.observer.forget()
            goal = self.observer.send_goal(self.instruction)
            if goal is None:
                time.sleep(0.05)
                continue
            while not goal.done and time.monotonic() < deadline_s:
                if self.observer.speed >= MOVES:
                    return goal
                time.sleep(_POLL_S)
            reason = goal.reason or "the robot is not told to move"
            # Rates are judged while no goal runs: after a stream was silent, it takes a moment.
            time.sleep(_RETRY_S)
        raise TrialError(f"no goal moved the robot within {_MOVE_TIMEOUT_S:g} s: {reason}")

    def close(self) -> None:
        """End everything."""
        self.stop_node()
        self.robot.close()
        if self._server is not None:
            self._server.close()
        if self._link is not None:
            self._link.close()

    def stop_node(self) -> None:
        """End the policy node and its processes: as asked, or else by force."""
        node, self._node = self._node, None
        if node is None:
            return
        children = self._family(node.pid)
        if node.poll() is None:
            node.send_signal(signal.SIGCONT)
            node.send_signal(signal.SIGTERM)
            try:
                node.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                node.kill()
                node.wait()
        _, left = psutil.wait_procs(children, _STOP_TIMEOUT_S)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def _family(self, pid: int) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            return list(psutil.Process(pid).children(recursive=True))
        return []

    def _start_node(self) -> None:
        parameters: dict[str, Any] = {
            "policy": str(self._policy),
            "contract": str(self._contract_path),
            "max_worker_restarts": 1000,
            "use_sim_time": self._stack is Stack.SIMULATED,
        }
        if self._stack is Stack.REMOTE:
            uri = f"ws://127.0.0.1:{self.link.port}"
            parameters |= {"runtime": "remote", "remote_uri": uri}
        spec = NodeSpec("vla_policy_node", "policy_node", POLICY, parameters=parameters)
        with (self._folder / "policy_node.log").open("ab") as log:
            self._node = subprocess.Popen(
                node_command(spec),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,
            )

    def _start_server(self) -> None:
        port = 0 if self._link is None else self._link.target_port
        self._server = HelperProcess(
            "vla_bringup.faults.server_process",
            [str(self._policy), str(port)],
            self._folder / "server.log",
            {},
        )
        if self._link is None:
            self._link = Link(int(self._server.ready["port"]))
