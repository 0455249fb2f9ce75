"""Makes tests/fixtures/data/interpolations.json: torchvision's resizing and rotation in each interpolation.

Run with a Python that has torchvision, Pillow and numpy:  python scripts/make_interpolation_fixtures.py
The sources are noise that the tests make again by the same formula; of the results only hashes are kept.
"""

import hashlib
import json
import pathlib
import random

import PIL
import torchvision
import torchvision.transforms.functional as F
import torchvision.transforms.v2 as v2
from PIL import Image

from noise import noise_bytes

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "data" / "interpolations.json"
MODES = list(v2.InterpolationMode)


def noise(width, height, seed):
    return Image.frombytes("RGB", (width, height), noise_bytes(width * height * 3, seed))


def case(source, spec, result):
    return {"source": source, **spec, "width": result.width, "height": result.height,
            "sha256": hashlib.sha256(result.tobytes()).hexdigest()}


chance = random.Random(11)
resizes, crops, rotations, bounded = [], [], [], []
shapes = [(1, 1, 5, 7), (2, 2, 1, 1), (300, 3, 64, 64), (3, 300, 20, 9), (100, 80, 100, 30), (100, 80, 30, 80),
          (33, 47, 1, 1), (64, 48, 130, 131), (255, 254, 256, 255)]
shapes += [tuple(chance.randint(1, 140) for _ in range(4)) for _ in range(15)]
for mode in MODES:
    for seed, (width, height, to_width, to_height) in enumerate(shapes):
        image = noise(width, height, seed)
        resizes.append(case([width, height, seed], {"interpolation": mode.value, "size": [to_height, to_width]},
                            v2.Resize([to_height, to_width], mode)(image)))
        box_width, box_height = chance.randint(1, width), chance.randint(1, height)
        left, top = chance.randint(0, width - box_width), chance.randint(0, height - box_height)
        crops.append(case([width, height, seed], {
            "interpolation": mode.value, "box": [left, top, box_width, box_height], "to": [to_width, to_height]},
            F.resized_crop(image, top, left, box_height, box_width, [to_height, to_width], mode)))
    for width, height, size, most in [(61, 40, 30, 40), (40, 61, 30, 40), (61, 40, 30, 45), (61, 40, 30, 46),
                                      (300, 20, 10, 100), (50, 50, 30, 31), (7, 100, 20, 199)]:
        bounded.append(case([width, height, 3], {"interpolation": mode.value, "size": size, "maxSize": most},
                            v2.Resize(size, mode, max_size=most)(noise(width, height, 3))))
for width, height in [(61, 40), (40, 61), (1, 9), (2, 2), (50, 50)]:
    image = noise(width, height, 9)
    for degrees in [0, 90, 180, -90, 45, 30, -179.99, 1e-20, *(chance.uniform(-180, 180) for _ in range(4))]:
        for expand, center, fill in [(False, None, [0, 0, 0]), (True, None, [7, 130, 255]), (False, [12, 7.5], [9, 9, 9])]:
            rotations.append(case([width, height, 9], {"degrees": degrees, "expand": expand, "center": center, "fill": fill},
                                  F.rotate(image, degrees, v2.InterpolationMode.BICUBIC, expand, center, fill)))
versions = {"pillow": PIL.__version__, "torchvision": torchvision.__version__.split("+")[0]}
lines = [f'"{name}": [\n' + ",\n".join(json.dumps(c) for c in cases) + "\n]" for name, cases in
         {"resizes": resizes, "crops": crops, "bounded": bounded, "rotations": rotations}.items()]
OUT.write_text('{\n"versions": ' + json.dumps(versions) + ",\n" + ",\n".join(lines) + "\n}\n")
print(OUT.stat().st_size, [len(c) for c in (resizes, crops, bounded, rotations)])
