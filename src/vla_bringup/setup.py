from setuptools import find_packages, setup

PACKAGE = "vla_bringup"

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
    description="Launch files, contracts, shipped policy, lifecycle manager, the vla command and the end-to-end tests.",
    license="Apache-2.0",
    extras_require={"test": ["pytest"]},
    entry_points={
        "console_scripts": [
            "lifecycle_manager = vla_bringup.lifecycle_manager:main",
        ],
    },
)
