from setuptools import find_packages, setup

PACKAGE = "vla_training"

setup(
    name=PACKAGE,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={PACKAGE: ["presets/*.yaml", "pages/*.css", "py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
    ],
    python_requires=">=3.10",
    zip_safe=True,
    maintainer="VLA docking maintainers",
    maintainer_email="maintainers@vla-docking.example",
    description="From bags to a policy bundle: conversion, data set, models, trainer, export, "
    "closed-loop evaluation.",
    license="Apache-2.0",
    extras_require={"test": ["pytest"]},
)
