"""Policy servers for tests: the real one as a process of its own, and ones that lie."""

import contextlib
import subprocess
import sys
import threading
import time

import numpy as np
from websockets.sync.server import serve

from vla_policy_node.inference.policy_server import PolicyServer
from vla_policy_node.inference.remote_protocol import ACTIONS, describe_policy, pack
from vla_policy_node.inference.runtimes import load_runtime
from vla_policy_node.inference.worker import WorkerSpec


class ServerProcess:
    """A `PolicyServer` of a bundle; `port` 0 for any."""

    def __init__(self, bundle, port=0):
        command = [sys.executable, __file__, str(bundle), str(port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.uri = self._process.stdout.readline().strip()
        self.port = int(self.uri.rpartition(":")[2])

    def signal(self, number):
        self._process.send_signal(number)

    def kill(self):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


@contextlib.contextmanager
def in_thread(bundle):
    """A `PolicyServer` in this process."""
    server = PolicyServer(load_runtime(WorkerSpec(bundle, "onnx", 1)), "127.0.0.1", 0, print)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()


@contextlib.contextmanager
def lying(contract, *, greeting=None, answer=None, delay_s=0.0, hang_up=False):
    """A server that greets and answers as told; yields its address."""

    def converse(connection):
        connection.send(pack(describe_policy(contract, "liar")) if greeting is None else greeting)
        for _ in connection:
            time.sleep(delay_s)
            if hang_up:
                return
            connection.send(answer)

    with serve(converse, "127.0.0.1", 0, compression=None, max_size=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
    thread.join()


def answer_of(actions):
    """An answer with these actions."""
    return pack({ACTIONS: np.asarray(actions)})


def main():
    server = PolicyServer(
        load_runtime(WorkerSpec(sys.argv[1], "onnx", 1)), "127.0.0.1", int(sys.argv[2]), len
    )
    print(server.uri, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
