from setuptools import find_packages, setup

PACKAGE = "vla_policy_node"

setup(
    name=PACKAGE,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={PACKAGE: ["control/*.xml"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
    ],
    python_requires=">=3.10",
    zip_safe=False,
    maintainer="VLA docking maintainers",
    maintainer_email="maintainers@vla-docking.example",
    description="Lifecycle node that serves a policy bundle: docking action, cmd_vel at 20 Hz.",
    license="Apache-2.0",
    extras_require={"test": ["pytest"]},
    entry_points={
        "console_scripts": [
            "policy_node = vla_policy_node.main:main",
        ],
    },
)
