from setuptools import find_packages, setup

PACKAGE = "vla_core"

setup(
    name=PACKAGE,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
    ],
    python_requires=">=3.10",
    package_data={PACKAGE: ["py.typed"]},
    zip_safe=True,
    maintainer="VLA docking maintainers",
    maintainer_email="maintainers@vla-docking.example",
    description="What recording, training and serving must agree on: contract, decoding, frames, "
    "action chunks, safety envelope, policy bundle.",
    license="Apache-2.0",
    extras_require={"test": ["pytest"]},
)
