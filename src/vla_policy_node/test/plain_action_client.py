"""An action client as anybody would write it: rclpy and message classes, nothing of ours."""

import time

import rclpy
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor


class PlainClient:
    """Sends goals and keeps their feedback; spins only while it waits."""

    def __init__(self, domain_id):
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain_id)
        self.node = rclpy.create_node("plain_client", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._clients = {}
        self.feedback = []

    def close(self):
        for client in self._clients.values():
            client.destroy()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def wait(self, future, timeout_s=60.0):
        self._executor.spin_until_future_complete(future, timeout_s)
        assert future.done(), "no answer"
        return future.result()

    def spin(self, condition, timeout_s=30.0):
        """Spin until a condition holds."""
        end_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end_s, "condition not met in time"
            self._executor.spin_once(0.05)

    def send(self, action_type, name, **fields):
        """The goal handle, accepted or not."""
        client = self._clients.get(name)
        if client is None:
            client = self._clients[name] = ActionClient(self.node, action_type, name)
            assert client.wait_for_server(30.0), f"no action {name}"
            time.sleep(0.5)  # the server has to find the way back, too
        self.feedback = []
        goal = action_type.Goal(**fields)
        return self.wait(client.send_goal_async(goal, self._on_feedback))

    def result(self, handle):
        """Status and result."""
        response = self.wait(handle.get_result_async())
        return response.status, response.result

    def run(self, action_type, name, **fields):
        """Send a goal that has to be accepted, and wait for its end."""
        handle = self.send(action_type, name, **fields)
        assert handle.accepted
        return self.result(handle)

    def cancel(self, handle):
        """Whether the server took the request."""
        return bool(self.wait(handle.cancel_goal_async()).goals_canceling)

    def _on_feedback(self, message):
        self.feedback.append((time.monotonic(), message.feedback))
