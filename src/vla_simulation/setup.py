from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = "vla_simulation"


def shared(folder: str) -> list[tuple[str, list[str]]]:
    """Data files that keep their place below the package's share folder."""
    files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    return [(f"share/{PACKAGE}/{path.parent}", [str(path)]) for path in files]


setup(
    name=PACKAGE,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={PACKAGE: ["*.yaml", "py.typed", "viewer/*.html"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        *shared("models"),
        *shared("worlds"),
        *shared("urdf"),
        *shared("config"),
    ],
    python_requires=">=3.10",
    zip_safe=True,
    maintainer="VLA docking maintainers",
    maintainer_email="maintainers@vla-docking.example",
    description="MuJoCo docking environment, scripted expert, and the ROS nodes around them.",
    license="Apache-2.0",
    extras_require={"test": ["pytest"]},
    entry_points={
        "console_scripts": [
            "simulator_node = vla_simulation.ros.simulator_node:main",
            "expert_node = vla_simulation.ros.expert_node:main",
        ],
    },
)
