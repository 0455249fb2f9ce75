"""Makes tests/fixtures/data: pictures of every kind with Pillow's pixels, and torchvision's transforms.

Run with a Python that has torchvision, Pillow and numpy:  python scripts/make_transform_fixtures.py
All pictures are synthetic. The sources of the transform cases are noise that the tests make again by the
same formula, or the picture rgb.png; of their results only hashes are kept.
"""

import base64
import hashlib
import io
import json
import pathlib
import random
import struct
import zlib

import numpy as np
import PIL
import torch
import torchvision
import torchvision.transforms as T
import torchvision.transforms.functional as F
import torchvision.transforms.v2 as v2
from PIL import Image, ImageOps

from noise import noise_bytes

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "data"
PICTURES = OUT / "pictures"


def noise(width, height, seed):
    return Image.frombytes("RGB", (width, height), noise_bytes(width * height * 3, seed))


def scene(width=40, height=28):
    """A smooth picture with an edge, different at each of its corners."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    red = 255 * x / max(width - 1, 1)
    green = 255 * y / max(height - 1, 1)
    blue = 128 + 90 * np.sin(x / 7) * np.cos(y / 5)
    pixels = np.stack([red, green, blue], -1)
    pixels[(x - width * 0.3) ** 2 + (y - height * 0.4) ** 2 < (height * 0.2) ** 2] = [230, 40, 30]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8), "RGB")


def png(width, height, depth, color_type, rows, extra=b""):
    """A PNG with depths that Pillow doesn't write; rows are bytes without their filter byte."""

    def chunk(kind, data):
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", body)
            + chunk(b"IEND", b""))


def saved(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def without_adobe(jpeg):
    """The same JPEG without its Adobe marker."""
    at = jpeg.index(b"\xff\xee")
    return jpeg[:at] + jpeg[at + 2 + int.from_bytes(jpeg[at + 2:at + 4], "big"):]


def as_ycck(jpeg):
    """The same JPEG, its colours to be read as YCCK: other colours, but what Pillow shows counts."""
    at = jpeg.index(b"\xff\xee")
    return jpeg[:at + 15] + b"\2" + jpeg[at + 16:]


def on_larger_screen(gif):
    """The same GIF with its frame a few pixels inside of a larger picture."""
    gif = bytearray(gif)
    gif[6:10] = struct.pack("<HH", 50, 40)
    table = 13 + 3 * 2 ** ((gif[10] & 7) + 1)
    at = gif.index(b"\x2c\0\0\0\0", table)
    gif[at + 1:at + 5] = struct.pack("<HH", 3, 5)
    return bytes(gif)


def make_pictures():
    image = scene()
    rgb = np.asarray(image)
    alpha = Image.fromarray(np.tile(np.linspace(0, 255, 40).astype(np.uint8), (28, 1)), "L")
    rgba = image.copy()
    rgba.putalpha(alpha)
    gray = image.convert("L")
    la = gray.copy()
    la.putalpha(alpha)
    palette = image.quantize(16)
    palette_alpha = image.quantize(64)
    frames = [image.quantize(32), ImageOps.invert(image).quantize(32), gray.quantize(32)]
    cmyk = saved(image.convert("CMYK"), "JPEG", quality=95)
    wide = np.frombuffer(noise(40, 28, 5).tobytes(), np.uint8).reshape(28, 40, 3)
    rgb16 = (rgb.astype(np.uint16) << 8 | wide).astype(">u2")
    gray16 = (np.asarray(gray).astype(np.uint16) << 8 | wide[..., 0]).astype(">u2")
    files = {
        "baseline.jpg": saved(image, "JPEG", quality=90),
        "full_chroma.jpg": saved(image, "JPEG", quality=95, subsampling=0),
        "progressive.jpg": saved(image, "JPEG", quality=90, progressive=True),
        "rgb_colours.jpg": saved(image, "JPEG", quality=95, keep_rgb=True),
        "gray.jpg": saved(gray, "JPEG", quality=90),
        "cmyk_adobe.jpg": cmyk,
        "cmyk_plain.jpg": without_adobe(cmyk),
        "ycck.jpg": as_ycck(cmyk),
        "one_pixel.jpg": saved(scene(1, 1), "JPEG"),
        "odd_size.jpg": saved(scene(17, 9), "JPEG", quality=90),
        "long.png": saved(scene(2000, 3), "PNG", optimize=True),
        "one_pixel.png": saved(scene(1, 1), "PNG"),
        "rgb.png": saved(image, "PNG"),
        "rgba.png": saved(rgba, "PNG"),
        "gray.png": saved(gray, "PNG"),
        "gray_alpha.png": saved(la, "PNG"),
        "bilevel.png": saved(gray.convert("1"), "PNG"),
        "gray_2bit.png": png(4, 2, 2, 0, [b"\x1b", b"\xe4"]),
        "palette.png": saved(palette, "PNG", bits=4),
        "palette_alpha.png": saved(palette_alpha, "PNG", transparency=bytes(range(0, 256, 4))),
        "rgb_16bit.png": png(40, 28, 16, 2, [row.tobytes() for row in rgb16]),
        "gray_16bit.png": png(40, 28, 16, 0, [row.tobytes() for row in gray16]),
        "exif_6.png": saved(scene(24, 16), "PNG", exif=exif(6)),
        "animated.gif": saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50),
        "plain.gif": saved(frames[0], "GIF"),
        "transparent.gif": saved(frames[0], "GIF", transparency=3),
        "small_frame.gif": on_larger_screen(saved(frames[0], "GIF")),
        "small_transparent_frame.gif": on_larger_screen(saved(frames[0], "GIF", transparency=3)),
        "lossy.webp": saved(image, "WEBP", quality=80),
        "lossless.webp": saved(image, "WEBP", lossless=True),
        "alpha.webp": saved(rgba, "WEBP", lossless=True, exact=True),
        "animated.webp": saved(image, "WEBP", save_all=True, append_images=[gray.convert("RGB")],
                               lossless=True, duration=50),
        "exif_8.webp": saved(scene(24, 16), "WEBP", lossless=True, exif=exif(8)),
        "rgb.bmp": saved(image, "BMP"),
        "rgba.bmp": saved(rgba, "BMP"),
        "gray.bmp": saved(gray, "BMP"),
        "palette.bmp": saved(palette, "BMP"),
        "bilevel.bmp": saved(gray.convert("1"), "BMP"),
    }
    for orientation in range(1, 9):
        files[f"exif_{orientation}.jpg"] = saved(
            scene(24, 16), "JPEG", quality=95, subsampling=0, exif=exif(orientation))

    pixels = {}
    for name, data in files.items():
        (PICTURES / name).write_bytes(data)
        oracle = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
        packed = base64.b64encode(zlib.compress(oracle.tobytes(), 9)).decode()
        pixels[name] = {"width": oracle.width, "height": oracle.height, "rgb": packed}
    # Pillow's way from 16-bit gray to RGB has changed over time: the rule here is the high byte.
    high = Image.fromarray((gray16.astype(np.uint16) >> 8).astype(np.uint8), "L").convert("RGB")
    pixels["gray_16bit.png"]["rgb"] = base64.b64encode(zlib.compress(high.tobytes(), 9)).decode()
    return pixels


def digest(image):
    return hashlib.sha256(image.tobytes()).hexdigest()


def make_resizes():
    chance = random.Random(7)
    cases = []
    shapes = [((1, 1), (5, 7)), ((2, 2), (1, 1)), ((2000, 3), (64, 64)), ((3, 500), (20, 9)),
              ((100, 80), (100, 30)), ((100, 80), (30, 80)), ((40, 30), (40, 30)), ((33, 47), (1, 1)),
              ((64, 48), (160, 160)), ((255, 254), (256, 255))]
    for _ in range(30):
        shapes.append(((chance.randint(1, 150), chance.randint(1, 150)),
                       (chance.randint(1, 150), chance.randint(1, 150))))
    for number, ((width, height), (to_width, to_height)) in enumerate(shapes):
        box = None
        if number % 2:
            box_width, box_height = chance.randint(1, width), chance.randint(1, height)
            box = [chance.randint(0, width - box_width), chance.randint(0, height - box_height),
                   box_width, box_height]
        image = noise(width, height, number)
        left, top, box_width, box_height = box or [0, 0, width, height]
        result = F.resized_crop(image, top, left, box_height, box_width, [to_height, to_width])
        cases.append({"source": [width, height, number], "box": box, "to": [to_width, to_height],
                      "sha256": digest(result)})
    return cases


def make_transforms():
    cases = []

    def case(width, height, seed, spec, transform):
        result = transform(noise(width, height, seed))
        cases.append({"source": [width, height, seed], "spec": spec, "width": result.width,
                      "height": result.height, "sha256": digest(result)})

    for width, height in [(61, 40), (40, 61), (50, 50), (7, 300), (333, 500)]:
        for size in [17, 50, 64]:
            case(width, height, size, {"Resize": size}, T.Resize(size))
        case(width, height, 1, {"Resize": [20, 31]}, T.Resize([20, 31]))
        for size in [[10, 10], [11, 10], [10, 11], [40, 60], [51, 51], [64, 300], [9, 400]]:
            case(width, height, 2, {"CenterCrop": size}, T.CenterCrop(size))
        case(width, height, 3, {"RandomHorizontalFlip": 1}, T.RandomHorizontalFlip(1))
    return cases


def make_fallbacks():
    """RandomResizedCrop where no drawn box can fit: it takes the middle."""
    cases = []
    for width, height, ratio in [(1000, 10, [0.75, 4 / 3]), (10, 1000, [0.75, 4 / 3]), (1, 50, [0.75, 4 / 3]),
                                 (31, 7, [0.75, 4 / 3]), (7, 31, [0.6, 0.7]), (50, 50, [3, 4]),
                                 (50, 50, [0.2, 0.3])]:
        top, left, crop_height, crop_width = T.RandomResizedCrop.get_params(
            Image.new("RGB", (width, height)), [1.0, 1.0], ratio)
        cases.append({"image": [width, height], "ratio": ratio,
                      "box": {"left": left, "top": top, "width": crop_width, "height": crop_height}})
    return cases


def make_floats():
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    bytes_ = Image.fromarray(np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(16, 16, 3), "RGB")
    plain = T.ToTensor()(bytes_)
    normal = T.Normalize(mean, std)(plain)
    return {"mean": mean, "std": std,
            "plain": hashlib.sha256(plain.permute(1, 2, 0).contiguous().numpy().tobytes()).hexdigest(),
            "normal": hashlib.sha256(normal.permute(1, 2, 0).contiguous().numpy().tobytes()).hexdigest()}


def short_digest(data):
    """Enough of a SHA-256 to tell results apart."""
    return hashlib.sha256(data).hexdigest()[:16]


def sources():
    """The noise and the scene that the given parameters are tried on, by what a case calls them."""
    shapes = [(61, 40), (40, 61), (50, 50), (9, 70), (1, 1)]
    noises = {(width, height, 11): noise(width, height, 11) for width, height in shapes}
    return {**noises, "rgb.png": scene()}


def picture_case(source, arguments, result):
    return {"source": source, **arguments, "width": result.width, "height": result.height,
            "sha256": short_digest(result.tobytes())}


def make_rotations():
    modes = {"nearest": T.InterpolationMode.NEAREST, "bilinear": T.InterpolationMode.BILINEAR}
    chance = random.Random(3)
    cases = []

    def case(source, image, degrees, interpolation, expand, center=None, fill=(0, 0, 0)):
        result = F.rotate(image, degrees, modes[interpolation], expand, center, list(fill))
        cases.append(picture_case(source, {
            "degrees": degrees, "interpolation": interpolation, "expand": expand, "center": center,
            "fill": fill}, result))

    for source, image in sources().items():
        for interpolation in modes:
            for degrees in [0, 90, 180, -90, 360, 450, 45, 30, -179.99, chance.uniform(-30, 30)]:
                case(source, image, degrees, interpolation, degrees in [90, 45])
            case(source, image, chance.uniform(0, 360), interpolation, True, fill=[7, 130, 255])
            case(source, image, 270, interpolation, True)
            for degrees in [0, 180, 90, chance.uniform(-180, 180)]:
                case(source, image, degrees, interpolation, degrees == 90, [12, 7.5], [255, 1, 2])
            case(source, image, 1e-20, interpolation, False)
    # Too long for Pillow's fixed-point numbers.
    case([40000, 3, 5], noise(40000, 3, 5), 3, "nearest", False)
    return cases


def make_pads():
    cases = []
    for source, image in sources().items():
        for padding in [[3, 3, 3, 3], [0, 4, 1, 0], [100, 0, 7, 130], [0, 0, 0, 0]]:
            for mode in ["constant", "edge", "reflect", "symmetric"]:
                result = F.pad(image, padding, (9, 8, 200), mode)
                cases.append(picture_case(source, {"padding": padding, "fill": [9, 8, 200],
                                                   "paddingMode": mode}, result))
    return cases


def make_crops():
    """RandomCrop, its box found from the seed that torchvision draws it by."""
    cases = []
    for source, image in sources().items():
        for size, padding, if_needed, mode in [
            ([20, 30], None, True, "constant"), ([64, 64], None, True, "reflect"),
            ([10, 100], [4, 4, 4, 4], True, "edge"), ([28, 20], [30, 30, 30, 30], False, "symmetric"),
        ]:
            crop = T.RandomCrop(size, padding, if_needed, (1, 2, 3), mode)
            boxes = []
            crop.get_params = lambda *args: boxes.append(T.RandomCrop.get_params(*args)) or boxes[0]
            result = crop(image)
            top, left, height, width = boxes[0]
            cases.append(picture_case(source, {
                "args": {"size": size, "padding": padding, "padIfNeeded": if_needed, "fill": [1, 2, 3],
                         "paddingMode": mode},
                "box": {"left": left, "top": top, "width": width, "height": height}}, result))
    return cases


def make_adjustments():
    adjust = {"brightness": F.adjust_brightness, "contrast": F.adjust_contrast,
              "saturation": F.adjust_saturation, "hue": F.adjust_hue}
    chance = random.Random(4)
    cases = []
    for source, image in {**sources(), (256, 128, 1): noise(256, 128, 1)}.items():
        for name, function in adjust.items():
            amounts = [0, 1, 0.5, 1.5, 2.7, chance.uniform(0, 1), chance.uniform(1, 2)]
            if name == "hue":
                amounts = [0, -0.5, 0.5, 0.1, -0.003, chance.uniform(-0.5, 0.5)]
            for amount in amounts:
                cases.append(picture_case(source, {"steps": [[name, amount]]}, function(image, amount)))
        steps = [["hue", 0.07], ["contrast", 1.3], ["brightness", 0.8], ["saturation", 1.4]]
        result = image
        for name, amount in steps:
            result = adjust[name](result, amount)
        cases.append(picture_case(source, {"steps": steps}, result))
    return cases


def make_flips():
    """Transforms whose only draw is whether."""
    cases = []
    for source, image in sources().items():
        for name, transform in {"RandomVerticalFlip": T.RandomVerticalFlip(1),
                                "RandomGrayscale": T.RandomGrayscale(1)}.items():
            cases.append(picture_case(source, {"spec": {name: 1}}, transform(image)))
    return cases


def channels_last(tensor):
    return tensor.movedim(-3, -1).contiguous().numpy().tobytes()


def make_erasings():
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    cases = []
    for source, image in sources().items():
        normal = T.Normalize(mean, std)(T.ToTensor()(image))
        top, left, height, width = image.height // 3, image.width // 4, image.height // 2, image.width // 2
        for value in [[0, 0, 0], [0.5, -1.25, 3]]:
            result = F.erase(normal, top, left, height, width, torch.tensor(value)[:, None, None])
            cases.append({"source": source, "value": value,
                          "box": {"left": left, "top": top, "width": width, "height": height},
                          "sha256": short_digest(channels_last(result))})
    return {"mean": mean, "std": std, "cases": cases}


def as_box(left, top, right, bottom):
    return {"left": left, "top": top, "width": right - left, "height": bottom - top}


def make_mixes():
    """MixUp and CutMix of four noise pictures as 0–1, with what torchvision drew."""
    cases = []
    for width, height in [(12, 10), (7, 16)]:
        batch = torch.stack([T.ToTensor()(noise(width, height, seed)) for seed in range(4)])
        labels = torch.arange(4)
        for seed in range(6):
            torch.manual_seed(seed)
            alpha = [1.0, 0.2, 2.5][seed % 3]
            for name, mix in {"MixUp": v2.MixUp, "CutMix": v2.CutMix}.items():
                transform = mix(alpha=alpha, num_classes=4)
                drawn = []
                make = transform.make_params
                transform.make_params = lambda inputs: drawn.append(make(inputs)) or drawn[0]
                beta = transform._dist.sample
                lams = []
                transform._dist.sample = lambda *args: lams.append(beta(*args)) or lams[0]
                images, mixed = transform(batch, labels)
                case = {"name": name, "width": width, "height": height, "share": float(lams[0]),
                        "labels": mixed.tolist(), "sha256": short_digest(channels_last(images))}
                if name == "CutMix":
                    case["box"] = as_box(*drawn[0]["box"])
                    case["ownShare"] = drawn[0]["lam_adjusted"]
                cases.append(case)
    return cases


def make_cutmix_boxes():
    """Boxes by the share and the point that they are drawn from."""
    cases = []
    for width, height in [(32, 32), (160, 100), (5, 1)]:
        for seed in range(8):
            torch.manual_seed(seed)
            transform = v2.CutMix(alpha=1.0, num_classes=2)
            lam = torch.rand(())
            transform._dist.sample = lambda *args: lam
            state = torch.get_rng_state()
            x, y = int(torch.randint(width, size=(1,))), int(torch.randint(height, size=(1,)))
            torch.set_rng_state(state)
            params = transform.make_params([torch.zeros(2, 3, height, width)])
            cases.append({"width": width, "height": height, "share": float(lam), "x": x, "y": y,
                          "box": as_box(*params["box"]),
                          "ownShare": params["lam_adjusted"]})
    return cases


def lines(value):
    """JSON with each item of the topmost lists on a line of its own."""
    if isinstance(value, list):
        return "[\n" + ",\n".join("  " + json.dumps(item) for item in value) + "\n]"
    if isinstance(value, dict):
        return "{\n" + ",\n".join(f"{json.dumps(key)}: {lines(item)}" for key, item in value.items()) + "\n}"
    return json.dumps(value)


def main():
    PICTURES.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    versions = {"pillow": PIL.__version__, "torchvision": torchvision.__version__.split("+")[0]}
    write = lambda name, value: (OUT / name).write_text(json.dumps(value, indent=1) + "\n")
    write("pictures.json", {"versions": versions, "pictures": make_pictures()})
    write("transforms.json", {"versions": versions, "resizes": make_resizes(),
                              "transforms": make_transforms(), "fallbacks": make_fallbacks(),
                              "floats": make_floats()})
    (OUT / "augmentations.json").write_text(lines({
        "versions": versions, "rotations": make_rotations(), "pads": make_pads(),
        "crops": make_crops(), "adjustments": make_adjustments(), "flips": make_flips(),
        "erasings": make_erasings()}) + "\n")
    (OUT / "mixes.json").write_text(lines({
        "versions": versions, "mixes": make_mixes(), "boxes": make_cutmix_boxes()}) + "\n")


main()
