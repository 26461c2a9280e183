from setuptools import find_packages, setup

PACKAGE = "vla_recorder"

setup(
    name=PACKAGE,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
    ],
    python_requires=">=3.10",
    zip_safe=True,
    maintainer="VLA docking maintainers",
    maintainer_email="maintainers@vla-docking.example",
    description="Lifecycle recorder: one labelled rosbag2 bag for each docking episode.",
    license="Apache-2.0",
    extras_require={"test": ["pytest"]},
    entry_points={
        "console_scripts": [
            "recorder_node = vla_recorder.recorder_node:main",
            "command_mux = vla_recorder.teleop.command_mux:main",
        ],
    },
)
