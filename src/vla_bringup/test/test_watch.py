"""`vla watch`: the live camera in a browser, here one that reads the stream by hand."""

import io
import re
import signal
import urllib.error
import urllib.request
from threading import Thread

import numpy as np
import pytest
import rclpy
from PIL import Image as Picture
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image


@pytest.fixture
def camera(domain):
    """Publishes a picture: left red, right blue."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    node = rclpy.create_node("camera", context=context)
    publisher = node.create_publisher(Image, "robot_1/camera/image_raw", qos_profile_sensor_data)
    rgb = np.zeros((60, 80, 3), np.uint8)
    rgb[:, :40, 0] = rgb[:, 40:, 2] = 200
    message = Image(height=60, width=80, step=240, encoding="rgb8", data=rgb.tobytes())
    timer = node.create_timer(0.05, lambda: publisher.publish(message))
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    thread = Thread(target=executor.spin, daemon=True)
    thread.start()
    yield
    executor.shutdown()
    thread.join()
    node.destroy_timer(timer)
    node.destroy_node()
    context.shutdown()


def test_the_camera_is_on_the_page(vla, camera):
    program = vla("watch", "--namespace", "robot_1")
    program.wait_for("/robot_1/camera/image_raw at http://127.0.0.1:")
    url = re.search(r"http://127\.0\.0\.1:\d+/", program.output)[0]
    with urllib.request.urlopen(url, timeout=20) as page:
        assert b"/stream" in page.read()
    with urllib.request.urlopen(f"{url}stream", timeout=30) as stream:
        for _ in range(2):  # more than one comes
            assert stream.readline() == b"--frame\r\n"
            headers = iter(stream.readline, b"\r\n")
            sizes = [line.split(b":")[1] for line in headers if line.startswith(b"Content-Length")]
            picture = np.asarray(Picture.open(io.BytesIO(stream.read(int(sizes[0])))))
            assert stream.readline() == b"\r\n"
    assert picture.shape == (60, 80, 3)
    assert picture[30, 10].tolist() == pytest.approx([200, 0, 0], abs=12)
    assert picture[30, 70].tolist() == pytest.approx([0, 0, 200], abs=12)
    foreign = urllib.request.Request(url, headers={"Host": "elsewhere.example"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(foreign, timeout=20)
    taken = vla("watch", "--port", url.rstrip("/").rpartition(":")[2])
    assert taken.wait() == 1
    assert "cannot be used" in taken.errors
    program.signal(signal.SIGINT)
    assert program.wait() == 0
    assert program.errors == ""
