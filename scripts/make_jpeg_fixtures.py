"""Writes the JPEGs of tests/data/codecs/jpeg_part_test.ts and loader_pixels_test.ts, large enough to be cut from.

Needs Pillow and numpy (uv run --with pillow --with numpy scripts/make_jpeg_fixtures.py).
"""

import pathlib

import numpy as np
from PIL import Image

FOLDER = pathlib.Path(__file__).parent.parent / "tests/fixtures/data/jpegs"
RANDOM = np.random.default_rng(0)


def scene(width: int, height: int) -> Image.Image:
    """Smooth colours, sharp edges and some noise: chroma that changes from pixel to pixel."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [
        127 + 100 * np.sin(x / 9) * np.cos(y / 7),
        255 * (((x // 5) + (y // 6)) % 2),
        (x * 3 + y * 2) % 256,
    ]
    pixels = np.stack(channels, axis=-1) + RANDOM.integers(-25, 25, (height, width, 3))
    return Image.fromarray(pixels.clip(0, 255).astype("uint8"))


def save(name: str, image: Image.Image, **options: object) -> None:
    image.save(FOLDER / f"{name}.jpg", quality=85, **options)


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    picture = scene(97, 71)
    for subsampling in ("4:2:0", "4:2:2", "4:4:4"):
        name = subsampling.replace(":", "")
        save(name, picture, subsampling=subsampling)
        save(f"progressive_{name}", picture, subsampling=subsampling, progressive=True)
    save("restarts", picture, subsampling="4:2:0", restart_marker_blocks=3)
    save("tall", scene(33, 130), subsampling="4:2:0")
    save("wide", scene(131, 17), subsampling="4:2:0")
    save("whole_blocks", scene(64, 48), subsampling="4:2:0")
    save("tiny", scene(15, 9), subsampling="4:2:0")
    save("gray", picture.convert("L"))
    save("cmyk", picture.convert("CMYK"))
    exif = Image.Exif()
    exif[0x0112] = 6
    save("exif_6", picture, subsampling="4:2:0", exif=exif)


if __name__ == "__main__":
    main()
