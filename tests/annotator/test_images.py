"""The one decoder: whole photos pass whatever follows them, cut ones are refused, and nobody chatters on the terminal."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from annotator.errors import ImageError
from annotator.images import decode_image

ROOT = Path(__file__).resolve().parents[2]
PIXELS = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)


def jpeg(*flags: int) -> bytes:
    return cv2.imencode(".jpg", PIXELS, list(flags))[1].tobytes()


def png() -> bytes:
    return cv2.imencode(".png", PIXELS)[1].tobytes()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_preview(photo: bytes) -> bytes:
    """An EXIF segment with a whole small JPEG in it, as cameras write."""
    small = cv2.imencode(".jpg", PIXELS[:16, :16])[1].tobytes()
    body = b"Exif\0\0" + small
    return photo[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + photo[2:]


BASELINE, PROGRESSIVE = jpeg(), jpeg(cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
RESTARTS = jpeg(cv2.IMWRITE_JPEG_RST_INTERVAL, 2)


@pytest.mark.parametrize("photo", [BASELINE, PROGRESSIVE, RESTARTS], ids=["baseline", "progressive", "restarts"])
@pytest.mark.parametrize("length", [0, 1, 5000, 300_000])
def test_whatever_follows_the_end_of_a_jpeg_does_not_matter(photo: bytes, length: int) -> None:
    trailer = np.random.default_rng(1).bytes(length).replace(b"\xff\xd9", b"\0\0")
    assert np.array_equal(decode_image(photo + trailer, "x"), decode_image(photo, "x"))
    assert decode_image(with_preview(photo) + trailer, "x").shape == (64, 96, 3)


@pytest.mark.parametrize("photo", [BASELINE, PROGRESSIVE, RESTARTS], ids=["baseline", "progressive", "restarts"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95, 0.999])
def test_a_jpeg_that_is_cut_is_refused_though_its_preview_has_an_end(photo: bytes, share: float) -> None:
    for whole in (photo, with_preview(photo)):
        with pytest.raises(ImageError, match="is cut short"):
            decode_image(whole[: int(share * len(whole))], "x")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8",
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xe1\xff\xff" + b"\0" * 50 + b"\xff\xd9",
        b"no image",
        png()[: len(png()) // 2],
        png()[:16] + struct.pack(">II", 60_000, 60_000) + png()[24:29] + struct.pack(">I", 0) + png()[33:],
        png()[:8] + chunk(b"IHDR", struct.pack(">II", 60_000, 60_000) + png()[24:29]) + png()[33:],
        b"BM" + bytes(range(200)),
        b"GIF89a" + bytes(range(200)),
    ],
)
def test_what_is_no_image_is_one_sentence(data: bytes) -> None:
    with pytest.raises(ImageError) as caught:
        decode_image(data, "x.jpg")
    assert "The photo x.jpg" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_check_of_a_large_jpeg_is_quick() -> None:
    big = cv2.resize(PIXELS, (3000, 2000), interpolation=cv2.INTER_NEAREST)
    photo = cv2.imencode(".jpg", big)[1].tobytes() + b"\0" * 2_000_000
    from annotator.images import _is_whole_jpeg

    began = time.perf_counter()
    for _ in range(20):
        assert _is_whole_jpeg(photo)
    checked = (time.perf_counter() - began) / 20
    began = time.perf_counter()
    decode_image(photo, "x")
    assert checked < 0.2 * (time.perf_counter() - began)


NOISY = """
import ctypes, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from annotator.errors import ImageError
from annotator.images import read_image

def look(path):
    try:
        read_image(path)
    except ImageError:
        pass

with ThreadPoolExecutor(4) as pool:
    list(pool.map(look, sorted(Path(sys.argv[1]).iterdir()) * 5))
libc = ctypes.CDLL(None)
libc.fputs(b"C speaks again", ctypes.c_void_p.in_dll(libc, "stderr"))
libc.fflush(None)
print("Python speaks", file=sys.stderr)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="C's stderr is a variable on glibc alone")
def test_nothing_that_c_libraries_think_of_a_photo_reaches_the_terminal(tmp_path: Path) -> None:
    photo, picture = BASELINE, png()
    noisy = {
        "profile.png": picture[:33] + chunk(b"iCCP", b"x\0\0" + zlib.compress(b"none")) + picture[33:],
        "crc.png": picture[:60] + b"\0\1" + picture[62:],
        "cut.png": picture[: len(picture) // 2],
        "zero.png": picture[:16] + struct.pack(">II", 0, 0) + picture[24:],
        "corrupt.jpg": photo[:1500] + b"\xff\x45\0\x12" + photo[1504:],
        "extraneous.jpg": photo[:-2] + b"\0" * 20 + photo[-2:],
        "x.bmp": b"BM" + bytes(range(200)),
        "x.tif": b"II*\0" + bytes(range(200)),
        "x.gif": b"GIF89a" + bytes(range(200)),
    }
    for name, data in noisy.items():
        (tmp_path / name).write_bytes(data)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", NOISY, str(tmp_path)], capture_output=True, text=True, check=False, env=env
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.split("\n")[0] in {"C speaks againPython speaks", "Python speaks"}
    assert "C speaks again" in done.stderr
    assert len(done.stderr) == len("C speaks againPython speaks\n")
