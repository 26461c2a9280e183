"""Two policy nodes and a node of another kind in one process and one executor, as anybody might."""

import signal
import sys
import threading

import rclpy
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import UInt64

from vla_policy_node.composition import THREADS, spin
from vla_policy_node.policy_node import PolicyNode


class Counter(Node):
    """Counts ten times a second."""

    def __init__(self):
        super().__init__("counter")
        self._count = 0
        self._publisher = self.create_publisher(UInt64, "count", 10)
        self.create_timer(0.1, self._step)

    def _step(self):
        self._count += 1
        self._publisher.publish(UInt64(data=self._count))


def main():
    stop = threading.Event()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    policies = [PolicyNode(), PolicyNode(namespace="other")]
    nodes = [*policies, Counter()]
    executor = MultiThreadedExecutor(2 * THREADS)
    for node in nodes:
        executor.add_node(node)
    spinner = threading.Thread(target=spin, args=(executor, policies))
    spinner.start()
    while spinner.is_alive() and not stop.wait(0.2):
        pass
    for node in policies:
        node.close()
    executor.shutdown()
    spinner.join()
    for node in nodes:
        node.destroy_node()
    rclpy.try_shutdown()
    return 0 if stop.is_set() else 1


if __name__ == "__main__":
    sys.exit(main())
