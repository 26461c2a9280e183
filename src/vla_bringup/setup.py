from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = "vla_bringup"


def shared(pattern: str) -> list[tuple[str, list[str]]]:
    """Data files that keep their place below the package's share folder."""
    files = [path for path in sorted(Path().glob(pattern)) if path.is_file()]
    return [(f"share/{PACKAGE}/{path.parent}", [str(path)]) for path in files]


setup(
    name=PACKAGE,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        ("bin", ["bin/vla"]),
        *shared("launch/*.launch.py"),
        *shared("contracts/*.yaml"),
        *shared("config/**/*"),
        *shared("policies/**/*"),
        *shared("rviz/*"),
        *shared("layouts/*"),
        *shared("security/*"),
    ],
    python_requires=">=3.10",
    zip_safe=True,
    maintainer="VLA docking maintainers",
    maintainer_email="maintainers@vla-docking.example",
    description="The node graph and its launch files, the lifecycle manager, the vla command.",
    license="Apache-2.0",
    extras_require={"test": ["pytest"]},
    entry_points={
        "console_scripts": [
            "lifecycle_manager = vla_bringup.lifecycle_manager:main",
            "dock_client = vla_bringup.dock_client:main",
        ],
    },
)
