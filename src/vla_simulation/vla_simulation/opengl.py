"""Choice of the OpenGL library that renders without a screen.

MuJoCo reads `MUJOCO_GL` when it is imported, so every module of this package imports MuJoCo from
here: the choice is then made first, whatever is imported first.
"""

import atexit
import ctypes
import ctypes.util
import os
import platform
import weakref

from vla_simulation.errors import RenderingError

REMEDY = "apt-get install libosmesa6 libegl1 libgl1-mesa-dri"
_LIBRARIES = {"egl": "EGL", "osmesa": "OSMesa"}
_EGL_PLATFORM_DEVICE_EXT = 0x313F
_MAX_DEVICES = 16


def _choose_backend() -> str | None:
    """Set `MUJOCO_GL` unless the user did.

    Returns:
        Why nothing can be rendered, or None if a library was found.
    """
    chosen = os.environ.get("MUJOCO_GL", "").lower().strip()
    if platform.system() != "Linux":
        return None
    if chosen and chosen not in _LIBRARIES:
        return None  # a window system, or switched off: the user's decision
    found = {
        backend: ctypes.util.find_library(library)
        for backend, library in _LIBRARIES.items()
        if chosen in ("", backend)
    }
    for backend, library in found.items():
        if library is not None and (chosen or backend != "egl" or _egl_has_device(library)):
            os.environ["MUJOCO_GL"] = backend
            return None
    # With a backend whose library is missing, `import mujoco` itself fails. Physics needs none.
    os.environ["MUJOCO_GL"] = "disable"
    missing = [f"lib{_LIBRARIES[backend]}" for backend, library in found.items() if library is None]
    broken = [f"lib{_LIBRARIES[backend]}" for backend, library in found.items() if library]
    reasons = [f"{' and '.join(missing)} not found"] if missing else []
    reasons += [f"{name} finds no device" for name in broken]
    return f"nothing renders without a screen: {', '.join(reasons)}"


def _egl_has_device(library: str) -> bool:
    """Whether EGL can start on a device, the way MuJoCo does: a library alone is no driver."""
    try:
        egl = ctypes.CDLL(library)
        address = egl.eglGetProcAddress
        address.restype = ctypes.c_void_p
        query_devices = ctypes.CFUNCTYPE(
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.POINTER(ctypes.c_void_p),
            ctypes.POINTER(ctypes.c_int),
        )(address(b"eglQueryDevicesEXT"))
        get_display = ctypes.CFUNCTYPE(
            ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p
        )(address(b"eglGetPlatformDisplayEXT"))
        devices, count = (ctypes.c_void_p * _MAX_DEVICES)(), ctypes.c_int()
        if not query_devices(_MAX_DEVICES, devices, ctypes.byref(count)):
            return False
        for device in devices[: count.value]:
            display = get_display(_EGL_PLATFORM_DEVICE_EXT, device, None)
            if display and egl.eglInitialize(ctypes.c_void_p(display), None, None):
                return True
    except (OSError, AttributeError, TypeError):
        return False
    return False


# Mesa's software renderer spreads over all cores, where it gains little and slows down the other
# processes of a collection or an evaluation. A GPU's driver does not read this.
os.environ.setdefault("LP_NUM_THREADS", "0")

_ASKED_FOR = os.environ.get("MUJOCO_GL")
_WHY_NOT = _choose_backend()

import mujoco  # noqa: E402

if _WHY_NOT is not None:  # child processes find out for themselves
    if _ASKED_FOR is None:
        del os.environ["MUJOCO_GL"]
    else:
        os.environ["MUJOCO_GL"] = _ASKED_FOR


def create_renderer(
    model: mujoco.MjModel, width_px: int, height_px: int, *, shadows: bool = False
) -> mujoco.Renderer:
    """Create an off-screen renderer.

    Args:
        model: compiled model.
        width_px: width of the picture.
        height_px: height of the picture.
        shadows: shadow maps and anti-aliasing, for pictures that people look at. They cost many
            times the time.

    Returns:
        The renderer; its `close()` must be called.

    Raises:
        RenderingError: no OpenGL library is installed, or it cannot make a context.
    """
    if _WHY_NOT is not None:
        raise RenderingError(f"{_WHY_NOT}; {REMEDY}")
    # The frame buffer is as large as the picture: clearing a larger one costs time each frame.
    model.vis.global_.offwidth = width_px
    model.vis.global_.offheight = height_px
    model.vis.quality.shadowsize = 4096 if shadows else 0
    model.vis.quality.offsamples = 8 if shadows else 0
    backend = os.environ.get("MUJOCO_GL", "")
    try:
        renderer = mujoco.Renderer(model, height=height_px, width=width_px, max_geom=2000)
    except Exception as error:  # PyOpenGL and the drivers raise almost anything
        other = "osmesa" if backend == "egl" else "egl"
        raise RenderingError(
            f"the OpenGL back end MUJOCO_GL={backend} cannot make a context: "
            f"{str(error)[:200] or type(error).__name__}; {REMEDY}, or try MUJOCO_GL={other}"
        ) from error
    if not shadows:
        _filter_textures_quickly(renderer)
    # PyOpenGL is half gone when the interpreter collects what nobody closed.
    atexit.register(_close, weakref.ref(renderer))
    return renderer


def _filter_textures_quickly(renderer: mujoco.Renderer) -> None:
    """Take texels from one mipmap level instead of blending two: quicker, and hardly to be seen.

    The renderer's context is current, since it has just been made.
    """
    from OpenGL import GL  # chooses its platform when it is imported, as MuJoCo does

    context = renderer._mjr_context
    for number in range(context.ntexture):
        flat = context.textureType[number] == int(mujoco.mjtTexture.mjTEXTURE_2D)
        target = GL.GL_TEXTURE_2D if flat else GL.GL_TEXTURE_CUBE_MAP
        GL.glBindTexture(target, int(context.texture[number]))
        GL.glTexParameteri(target, GL.GL_TEXTURE_MIN_FILTER, GL.GL_LINEAR_MIPMAP_NEAREST)


def _close(reference: "weakref.ref[mujoco.Renderer]") -> None:
    renderer = reference()
    if renderer is not None:
        renderer.close()


__all__ = ["REMEDY", "create_renderer", "mujoco"]
