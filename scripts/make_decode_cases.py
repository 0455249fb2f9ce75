"""Makes tests/fixtures/cases/decode.json: small files of every kind with what Pillow makes of them.

Run with a Python that has Pillow:  python scripts/make_decode_cases.py [OUT [EVERY]]
Each case is a file (base64) and its pixels after ImageOps.exif_transpose(image).convert("RGB"), or "error" where
Pillow refuses it. EVERY: 1 makes the whole grid; the fixture keeps a part of it.
"""

import base64
import hashlib
import io
import json
import pathlib
import struct
import sys
import warnings
import zlib

from PIL import Image, ImageOps

from noise import noise_bytes

warnings.simplefilter("ignore")
OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "cases" / "decode.json"
cases = {}


def add(name, data, keep=False):
    try:
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
        expected = {"width": image.width, "height": image.height,
                    "sha256": hashlib.sha256(image.tobytes()).hexdigest()}
    except Exception as error:
        expected = {"error": type(error).__name__ + ": " + str(error)[:60]}
    assert name not in cases, name
    cases[name] = {"file": base64.b64encode(data).decode(), **expected, "keep": keep}


def tile(width=3, height=2):
    image = Image.new("RGB", (width, height))
    image.putdata([(40 * x + 7, 90 * y + 11, 13 * (x + y)) for y in range(height) for x in range(width)])
    return image


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


JPEG = saved(tile(8, 16), "JPEG", quality=40, optimize=True)
PNG = saved(tile(), "PNG", optimize=True)
WEBP = saved(tile(), "WEBP", lossless=True)


# Containers.

def segment(marker, data):
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def jpeg(*parts, late=()):
    body = JPEG[2:]
    if late:
        at = body.index(b"\xff\xda")
        body = body[:at] + b"".join(late) + body[at:]
    return JPEG[:2] + b"".join(parts) + body


def jpeg_exif(tiff):
    return segment(0xE1, b"Exif\0\0" + tiff)


def jpeg_xmp(xmp):
    return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks, late=()):
    at = PNG.index(b"IDAT") - 4
    end = PNG.index(b"IEND") - 4
    return PNG[:at] + b"".join(chunks) + PNG[at:end] + b"".join(late) + PNG[end:]


def webp(chunks, flags, first=()):
    def riff(kind, data):
        return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    head = riff(b"VP8X", bytes([flags, 0, 0, 0]) + struct.pack("<I", 2)[:3] + struct.pack("<I", 1)[:3])
    body = b"WEBP" + head + b"".join(riff(*c) for c in first) + WEBP[12:] + b"".join(riff(*c) for c in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


# EXIF.

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 14: 2, 16: 8, 17: 8}
FORMATS = {1: "B", 2: "B", 3: "H", 4: "L", 6: "b", 7: "B", 8: "h", 9: "l", 11: "f", 12: "d", 13: "L", 14: "H",
           16: "Q", 17: "q"}


def packed(end, kind, values):
    if kind in (5, 10):
        return b"".join(struct.pack(end + ("LL" if kind == 5 else "ll"), *v) for v in values)
    return struct.pack(end + FORMATS[kind] * len(values), *values)


def tiff(entries, end="<", mark=None, at=8, next_at=0, count=None):
    """entries: (tag, type, count, bytes); bytes longer than 4 go behind the directory."""
    mark = mark or {"<": b"II\x2a\0", ">": b"MM\0\x2a"}[end]
    extra = b""
    begin = at + 2 + 12 * len(entries) + 4
    rows = b""
    for tag, kind, n, data in entries:
        if len(data) > 4:
            field = struct.pack(end + "L", begin + len(extra))
            extra += data
        else:
            field = data.ljust(4, b"\0")
        rows += struct.pack(end + "HHL", tag, kind, n) + field
    head = mark + struct.pack(end + "L", at)
    return (head.ljust(at, b"\0") + struct.pack(end + "H", len(entries) if count is None else count) + rows
            + struct.pack(end + "L", next_at) + extra)


def orientation(value=6, kind=3, end="<", count=1, **options):
    values = [(value, 1)] * count if kind in (5, 10) else [value] * count
    return tiff([(0x112, kind, count, packed(end, kind, values))], end, **options)


def exif_grid():
    for end in "<>":
        name = {"<": "II", ">": "MM"}[end]
        for kind in SIZES:
            for value in ([6] if kind in (1, 2, 7, 14, 16, 17) else [6, 3]):
                for count in (0, 1, 2, 3, 5):
                    yield (f"{name} type {kind} value {value} count {count}",
                           orientation(value, kind, end, count), count == 1 and value == 6)
        for value in range(10):
            yield f"{name} value {value}", orientation(value, 3, end), value in (0, 9)
        yield f"{name} SHORT 65535", orientation(65535, 3, end), False
        yield f"{name} SSHORT -6", orientation(-6, 8, end), False
        yield f"{name} SLONG -6", orientation(-6, 9, end), False
        yield f"{name} SBYTE -6", orientation(-6, 6, end), False
        yield f"{name} LONG 65542", orientation(65542, 4, end), True
        yield f"{name} FLOAT 6.5", orientation(6.5, 11, end), True
        yield f"{name} RATIONAL 12/2", tiff([(0x112, 5, 1, packed(end, 5, [(12, 2)]))], end), True
        yield f"{name} RATIONAL 6/0", tiff([(0x112, 5, 1, packed(end, 5, [(6, 0)]))], end), False
        yield f"{name} ASCII 6", tiff([(0x112, 2, 2, b"6\0")], end), True
        six = packed(end, 3, [6])
        yield (f"{name} directory at 26", orientation(end=end, at=26), False)
        yield (f"{name} unknown type first", tiff([(0x112, 99, 1, six), (0x112, 3, 1, six)], end), True)
        yield (f"{name} empty first", tiff([(0x112, 3, 0, six), (0x112, 3, 1, six)], end), True)
        yield (f"{name} twice", tiff([(0x112, 3, 1, six), (0x112, 3, 1, packed(end, 3, [3]))], end), True)
        yield (f"{name} after a maker", tiff([(0x10f, 2, 8, b"Someone\0"), (0x112, 3, 1, six)], end), True)
        far = struct.pack(end + "L", 5000)
        bad = tiff([(0x10f, 2, 8, b""), (0x112, 3, 1, six)], end)
        at = bad.index(struct.pack(end + "HHL", 0x10f, 2, 8)) + 8
        yield f"{name} after a value outside", bad[:at] + far + bad[at + 4:], True
        huge = tiff([(0x10f, 2, 2**31, b""), (0x112, 3, 1, six)], end)
        yield f"{name} after a value larger than the data", huge, True
        yield f"{name} in the second directory only", second_directory(end), True
        yield f"{name} more entries than there are", orientation(end=end, count=1)[:8] + struct.pack(
            end + "H", 9) + orientation(end=end)[10:], False
        whole = orientation(end=end)
        for cut in (0, 1, 4, 7, 8, 9, 10, 15, 20, 21, 22, 24):
            yield f"{name} cut at {cut}", whole[:cut], False
        yield f"{name} marked twice", b"Exif\0\0" + whole, True
        yield f"{name} marked three times", b"Exif\0\0" * 2 + whole, False
    for mark, end in ((b"MM\x2a\0", ">"), (b"II\0\x2a", "<"), (b"MM\0\x2b", ">"), (b"II\x2b\0", "<"),
                      (b"II\x2c\0", "<"), (b"XX\0\x2a", ">"), (b"MM\x2a\0", "<")):
        yield f"mark {mark!r} {end}", orientation(end=end, mark=mark), True


def second_directory(end):
    first = tiff([(0x10f, 2, 4, b"abc\0")], end, next_at=26)
    return first + tiff([(0x112, 3, 1, packed(end, 3, [6]))], end)[8:]


def xmp_packet(text):
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r {text}/></x:xmpmeta>'.encode()


XMPS = {
    "attribute": b'<x tiff:Orientation="6"/>', "element": b"<tiff:Orientation>6</tiff:Orientation>",
    "single quotes": b"<x tiff:Orientation='6'/>", "space": b'<x tiff:Orientation = "6"/>', "9": b'tiff:Orientation="9"',
    "0": b'tiff:Orientation="0"', "1": b'tiff:Orientation="1"', "two digits": b'tiff:Orientation="62"',
    "twice": b'tiff:Orientation="1" tiff:Orientation="6"', "other prefix": b'exif:Orientation="6"', "empty": b"",
    "Latin-1": b'\xe9 tiff:Orientation="6"', "UTF-8": 'é tiff:Orientation="8"'.encode(), "no digit": b'tiff:Orientation="x" tiff:Orientation="6"',
    "UTF-16": 'tiff:Orientation="6"'.encode("utf-16-le"),
}


def raw_profile(data, header="exif", line=72):
    digits = data.hex()
    lines = "\n".join(digits[i:i + line] for i in range(0, len(digits), line))
    return f"\n{header}\n{len(data):8}\n{lines}\n".encode()


def text_chunks(keyword, text):
    yield "tEXt", chunk(b"tEXt", keyword + b"\0" + text)
    yield "zTXt", chunk(b"zTXt", keyword + b"\0\0" + zlib.compress(text))
    yield "iTXt", chunk(b"iTXt", keyword + b"\0\0\0\0\0" + text)
    yield "iTXt compressed", chunk(b"iTXt", keyword + b"\0\1\0\0\0" + zlib.compress(text))
    yield "iTXt with a language", chunk(b"iTXt", keyword + b"\0\0\0de\0Wort\0" + text)
    yield "zTXt method 1", chunk(b"zTXt", keyword + b"\0\1" + zlib.compress(text))
    yield "iTXt method 1", chunk(b"iTXt", keyword + b"\0\1\1\0\0" + zlib.compress(text))
    yield "zTXt damaged", chunk(b"zTXt", keyword + b"\0\0" + b"nonsense")
    yield "iTXt damaged", chunk(b"iTXt", keyword + b"\0\1\0\0\0" + b"nonsense")
    yield "zTXt cut off", chunk(b"zTXt", keyword + b"\0\0" + zlib.compress(text + bytes(99))[:-6])
    yield "zTXt with more behind", chunk(b"zTXt", keyword + b"\0\0" + zlib.compress(text) + b"more")


def orientations():
    for name, data, keep in exif_grid():
        add(f"JPEG EXIF {name}", jpeg(jpeg_exif(data)), keep)
        add(f"PNG eXIf {name}", png(chunk(b"eXIf", data)))
        add(f"WebP EXIF {name}", webp([(b"EXIF", data)], 8))
        add(f"WebP EXIF marked {name}", webp([(b"EXIF", b"Exif\0\0" + data)], 8))
        if "cut" not in name:
            add(f"PNG raw profile {name}", png(chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(
                raw_profile(b"Exif\0\0" + data)))))
    for name, xmp in XMPS.items():
        add(f"JPEG XMP {name}", jpeg(jpeg_xmp(xmp)), True)
        add(f"WebP XMP {name}", webp([(b"XMP ", xmp)], 4), name == "attribute")
        for kind, text in text_chunks(b"XML:com.adobe.xmp", xmp):
            add(f"PNG XMP {kind} {name}", png(text), name in ("attribute", "Latin-1"))
    six, three = orientation(6), orientation(3)
    for value in (0, 1, 3, 9):
        for kind in (1, 3):
            exif = orientation(value, kind)
            add(f"JPEG EXIF {value} type {kind}, XMP 6", jpeg(jpeg_exif(exif), jpeg_xmp(XMPS["attribute"])), True)
            add(f"JPEG XMP 6, EXIF {value} type {kind}", jpeg(jpeg_xmp(XMPS["attribute"]), jpeg_exif(exif)))
            add(f"PNG EXIF {value} type {kind}, XMP 6", png(chunk(b"eXIf", exif), chunk(
                b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMPS["attribute"])), kind == 3)
            add(f"WebP EXIF {value} type {kind}, XMP 6", webp([(b"EXIF", exif), (b"XMP ", XMPS["attribute"])], 12), kind == 3)
    other = tiff([(0x10f, 2, 4, b"abc\0")])
    add("JPEG EXIF without, XMP 6", jpeg(jpeg_exif(other), jpeg_xmp(XMPS["attribute"])), True)
    add("JPEG EXIF empty, XMP 6", jpeg(jpeg_exif(b""), jpeg_xmp(XMPS["attribute"])), True)
    add("JPEG EXIF damaged, XMP 6", jpeg(jpeg_exif(b"XXXX0000"), jpeg_xmp(XMPS["attribute"])))
    add("JPEG EXIF twice", jpeg(jpeg_exif(six), jpeg_exif(three)), True)
    add("JPEG EXIF in two parts", jpeg(jpeg_exif(six[:20]), jpeg_exif(six[20:])), True)
    add("JPEG EXIF without, then with", jpeg(jpeg_exif(other), jpeg_exif(six)))
    add("JPEG two XMP packets", jpeg(jpeg_xmp(XMPS["attribute"]), jpeg_xmp(XMPS["1"])), True)
    add("JPEG XMP extension", jpeg(segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + XMPS["attribute"])), True)
    add("JPEG EXIF behind the frame", jpeg(late=[jpeg_exif(six)]), True)
    add("JPEG XMP behind the frame", jpeg(late=[jpeg_xmp(XMPS["attribute"])]), True)
    add("JPEG junk between segments", jpeg(b"junk", jpeg_exif(six)), True)
    add("JPEG padded marker", jpeg(b"\xff\xff", jpeg_exif(six)), True)
    add("JPEG escaped byte between segments", jpeg(b"\xff\x00", jpeg_exif(six)))
    add("JPEG EXIF in APP2", jpeg(segment(0xE2, b"Exif\0\0" + six)), True)
    for kind, text in text_chunks(b"Raw profile type exif", raw_profile(b"Exif\0\0" + six)):
        add(f"PNG raw profile {kind}", png(text), True)
        add(f"PNG raw profile late {kind}", png(late=[text]), kind == "tEXt")
    for kind, text in text_chunks(b"exif", six):
        add(f"PNG text exif {kind}", png(text), kind == "tEXt")
    for name, profile in {
        "APP1": raw_profile(b"Exif\0\0" + six, "app1"), "unmarked": raw_profile(six), "odd digits": raw_profile(six)[:-2],
        "no digits": b"\nexif\n 8\nzz\n", "one line": b"exif", "upper case": raw_profile(six).upper(),
        "spaces": raw_profile(six, line=8).replace(b"\n", b" \n"), "carriage returns": raw_profile(six, line=8).replace(b"\n", b"\r\n"),
        "short lines": raw_profile(six, line=3), "no first break": raw_profile(six)[1:], "empty": b"\nexif\n       0\n\n",
    }.items():
        add(f"PNG raw profile of {name}", png(chunk(b"tEXt", b"Raw profile type exif\0" + profile)), True)
    raw = chunk(b"tEXt", b"Raw profile type exif\0" + raw_profile(three))
    other_raw = chunk(b"tEXt", b"Raw profile type APP1\0" + raw_profile(six))
    add("PNG raw profile APP1", png(other_raw), True)
    add("PNG eXIf and raw profile", png(raw, chunk(b"eXIf", six)), True)
    add("PNG eXIf without, raw profile", png(raw, chunk(b"eXIf", other)), True)
    add("PNG eXIf empty, raw profile", png(raw, chunk(b"eXIf", b"")), True)
    add("PNG eXIf twice", png(chunk(b"eXIf", three), chunk(b"eXIf", six)), True)
    add("PNG eXIf late", png(late=[chunk(b"eXIf", six)]), True)
    add("PNG XMP as XMP", png(chunk(b"iTXt", b"xmp\0\0\0\0\0" + XMPS["attribute"])))
    add("PNG two XMP packets", png(chunk(b"tEXt", b"XML:com.adobe.xmp\0" + XMPS["1"]),
                             chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMPS["attribute"])), True)
    add("PNG XMP Latin-1, then UTF-8 without", png(
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMPS["Latin-1"]), chunk(b"tEXt", b"XML:com.adobe.xmp\0x")))
    big = bytes(2 ** 20 + 1)
    for kind, text in text_chunks(b"Raw profile type exif", big):
        if kind in ("zTXt", "iTXt compressed"):
            add(f"PNG raw profile of a MiB and a byte, {kind}", png(text), True)
    for kind, text in text_chunks(b"XML:com.adobe.xmp", XMPS["attribute"] + bytes(2 ** 20 - len(XMPS["attribute"]))):
        if kind in ("zTXt", "iTXt compressed"):
            add(f"PNG XMP of a MiB, {kind}", png(text), True)
    exif = (b"EXIF", six)
    add("WebP EXIF not announced", webp([exif], 0), True)
    add("WebP XMP not announced", webp([(b"XMP ", XMPS["attribute"])], 8), True)
    add("WebP EXIF twice", webp([(b"EXIF", three), exif], 8), True)
    add("WebP EXIF before the frame", webp([], 8, first=[exif]), True)
    simple = bytearray(WEBP + b"EXIF" + struct.pack("<I", len(six)) + six)
    simple[4:8] = struct.pack("<I", len(simple) - 8)
    add("WebP EXIF in a simple file", bytes(simple), True)
    whole = webp([exif], 8)
    short = bytearray(whole)
    short[4:8] = struct.pack("<I", len(whole) - 8 - 8 - len(six) - len(six) % 2)
    add("WebP EXIF behind the end", bytes(short), True)
    gif = saved(tile().quantize(8), "GIF")
    add("GIF with XMP", gif[:-1] + b"\x21\xff\x0bXMP DataXMP" + XMPS["attribute"] + b"\1" + bytes(
        range(255, -1, -1)) + b"\0\0;", True)


# GIF and WebP whose frame isn't the canvas.

def frames():
    gif = saved(tile().quantize(8), "GIF")
    at = gif.index(b"\x2c\0\0\0\0")
    for canvas in ((1, 1), (2, 2), (3, 2), (5, 4), (0, 0)):
        for left, top in ((0, 0), (1, 0), (2, 1)):
            moved = bytearray(gif)
            moved[6:10] = struct.pack("<HH", *canvas)
            moved[at + 1:at + 5] = struct.pack("<HH", left, top)
            add(f"GIF canvas {canvas} frame at {left}, {top}", bytes(moved), True)
    empty = bytearray(gif)
    empty[at + 5:at + 9] = bytes(4)
    add("GIF frame without pixels", bytes(empty), True)

    def riff(kind, data):
        return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)

    def anim(canvas, place, said):
        head = bytes([2, 0, 0, 0]) + b"".join(struct.pack("<I", n - 1)[:3] for n in canvas)
        numbers = [place[0] // 2, place[1] // 2, said[0] - 1, said[1] - 1, 50]
        frame = b"".join(struct.pack("<I", n)[:3] for n in numbers) + b"\0" + WEBP[12:]
        body = b"WEBP" + riff(b"VP8X", head) + riff(b"ANIM", bytes(6)) + riff(b"ANMF", frame)
        return b"RIFF" + struct.pack("<I", len(body)) + body

    for canvas in ((3, 2), (7, 6), (2, 2), (1, 1)):
        for place in ((0, 0), (2, 0), (4, 4)):
            for said in ((3, 2), (2, 2)):
                add(f"WebP animation canvas {canvas} frame at {place} said {said}", anim(canvas, place, said), said == (3, 2))
    for canvas in ((1, 1), (2, 2), (3, 2), (4, 2), (3, 9)):
        head = bytes(4) + b"".join(struct.pack("<I", n - 1)[:3] for n in canvas)
        body = b"WEBP" + riff(b"VP8X", head) + WEBP[12:]
        add(f"WebP canvas {canvas}", b"RIFF" + struct.pack("<I", len(body)) + body, True)


# BMP.

def bmp(width, height, bits, rows, palette=b"", size=40, compression=0, colors=0, offset=None, masks=b"", tail=b""):
    if size == 12:
        head = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        head = struct.pack("<IiiHHIIiiII", size, width, height, 1, bits, compression, len(rows), 0, 0, colors, 0)
        inside = masks if size >= 52 else b""
        head = (head + inside).ljust(size, b"\0")[:size] + (b"" if size >= 52 else masks)
    begin = 14 + len(head) + len(palette)
    offset = begin if offset is None else offset
    return b"BM" + struct.pack("<IHHI", begin + len(rows), 0, 0, offset) + head + palette + rows + tail


def rows_of(width, height, bits, seed=1):
    return noise_bytes(((width * bits + 31) >> 3 & ~3) * height, seed)


def bmps():
    for size in (12, 16, 40, 52, 56, 64, 108, 124, 20):
        for bits in (1, 2, 4, 8, 16, 24, 32):
            step = 3 if size == 12 else 4
            palette = noise_bytes(step << bits, 5) if bits <= 8 else b""
            for height in (3, -3):
                if size == 12 and height < 0:
                    continue
                plain = bmp(5, height, bits, rows_of(5, 3, bits), palette, size)
                add(f"BMP header {size} bits {bits} height {height}", plain, size in (12, 40, 64, 16))
    for bits in (1, 4, 8):
        palette, rows = noise_bytes(4 << bits, 5), rows_of(5, 3, bits)
        whole = 54 + len(palette)
        for offset in sorted({0, 14, 53, 54, 55, 58, whole - 4, whole, whole + 4, whole + 400}):
            add(f"BMP bits {bits} offset {offset} of {whole}", bmp(5, 3, bits, rows, palette, offset=offset), True)
            add(f"BMP bits {bits} offset {offset} of {whole} with more behind",
                bmp(5, 3, bits, rows, palette, offset=offset, tail=noise_bytes(600, 9)), offset in (0, 54, 58))
        for colors in (1, 2, 3, 5, 16, 200, 256, 257, 300, 70000):
            add(f"BMP bits {bits} colours {colors}", bmp(5, 3, bits, rows, noise_bytes(4 * min(colors, 256), 5), colors=colors),
                colors in (3, 256, 257))
            add(f"BMP bits {bits} colours {colors} offset 54", bmp(5, 3, bits, rows, noise_bytes(
                4 * min(colors, 256), 5), colors=colors, offset=54), colors == 3)
        gray = b"".join(bytes([v, v, v, 0]) for v in ((0, 255) if bits == 1 else range(1 << bits)))
        ramp = b"".join(bytes([v * 17 % 256] * 3 + [0]) for v in range(1 << bits))
        add(f"BMP bits {bits} gray", bmp(5, 3, bits, rows, gray), bits != 4)
        add(f"BMP bits {bits} even gray", bmp(5, 3, bits, rows, ramp), True)
        add(f"BMP bits {bits} old header offset 26", bmp(5, 3, bits, rows, noise_bytes(3 << bits, 5), 12, offset=26), True)
        add(f"BMP bits {bits} without the last padding", bmp(5, 3, bits, rows, palette)[:-(4 - (5 * bits + 7) // 8 % 4) % 4 or None], True)
        add(f"BMP bits {bits} a byte short", bmp(5, 3, bits, rows, palette)[:-4], True)
    for bits in (16, 24, 32):
        rows = rows_of(5, 3, bits)
        for offset in (0, 14, 50, 54, 58, 66):
            add(f"BMP bits {bits} offset {offset}", bmp(5, 3, bits, rows, offset=offset, tail=noise_bytes(40, 4)), offset in (0, 54, 58))
        for masks in ((0xff0000, 0xff00, 0xff, 0), (0xff000000, 0xff0000, 0xff00, 0), (0xff000000, 0xff00, 0xff, 0),
                      (0xff000000, 0xff0000, 0xff00, 0xff), (0xff, 0xff00, 0xff0000, 0xff000000),
                      (0xff0000, 0xff00, 0xff, 0xff000000), (0xff000000, 0xff00, 0xff, 0xff0000), (0, 0, 0, 0),
                      (0xf800, 0x7e0, 0x1f, 0), (0x7c00, 0x3e0, 0x1f, 0), (0xf00, 0xf0, 0xf, 0xf000), (0xff, 0xff00, 0xff0000, 0)):
            for size in (40, 52, 56, 108, 124):
                for offset in (None, 14 + size):
                    text = struct.pack("<IIII", *masks)[:12 if size <= 52 else 16]
                    shown = " ".join(f"{m:x}" for m in masks)
                    add(f"BMP bits {bits} masks {shown} header {size} offset {offset}", bmp(
                        5, 3, bits, rows, size=size, compression=3, masks=text, offset=offset, tail=bytes(12)),
                        size in (40, 56) and offset is None)
    for compression in (1, 2, 3, 4, 5, 11):
        for bits in (1, 4, 8, 24):
            add(f"BMP bits {bits} compression {compression}", bmp(5, 3, bits, rows_of(5, 3, bits), noise_bytes(
                4 << bits if bits <= 8 else 0, 5), compression=compression), False)
    runs = {
        "runs": [5, 3, 0, 0, 2, 7, 3, 1, 0, 0, 5, 2, 0, 1], "no ends of lines": [5, 3, 5, 7, 5, 2, 0, 1],
        "too long": [9, 3, 0, 0, 5, 7, 0, 0, 5, 2, 0, 1], "short lines": [2, 3, 0, 0, 1, 7, 0, 0, 5, 2, 0, 1],
        "absolute": [0, 5, 1, 2, 3, 4, 5, 0, 0, 0, 0, 4, 9, 8, 7, 6, 1, 3, 0, 0, 5, 1, 0, 1],
        "absolute of three": [0, 3, 0x12, 0x34, 0x56, 0, 2, 3, 0, 0, 5, 1, 0, 0, 5, 1, 0, 1],
        "delta": [2, 3, 0, 2, 1, 1, 2, 5, 0, 0, 5, 4, 0, 1], "ends early": [5, 3, 0, 1], "cut off": [5, 3, 0, 0, 2],
        "no end": [5, 3, 0, 0, 5, 2, 0, 0, 5, 1], "delta beyond": [2, 3, 0, 2, 9, 9, 1, 1], "empty lines": [0, 0, 0, 0, 5, 1, 0, 1],
        "delta cut off": [2, 3, 0, 2, 1], "end in the last row": [5, 3, 0, 0, 5, 4, 0, 0, 2, 1, 0, 0, 0, 1],
        "absolute cut off": [0, 5, 1, 2],
    }
    for name, codes in runs.items():
        for bits, compression in ((8, 1), (4, 2)):
            for height in (3, -3):
                for shift in (0, 1):
                    palette = noise_bytes(4 << bits, 5) + bytes(shift)
                    add(f"BMP run lengths {bits} bits height {height} shift {shift}: {name}", bmp(
                        5, height, bits, bytes(codes), palette, compression=compression), height == 3 and not shift)
    add("BMP header cut off", bmp(5, 3, 8, b"", b"")[:40])
    add("BMP two bytes", b"BM", True)


out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
whole = len(sys.argv) > 2
orientations()
frames()
bmps()
print(len(cases), "cases,", sum("error" in c for c in cases.values()), "that Pillow refuses")
if not whole:
    cases = {name: case for name, case in cases.items() if case["keep"]}
for case in cases.values():
    del case["keep"]
out.parent.mkdir(parents=True, exist_ok=True)
out.write_text(json.dumps(cases, indent=0) + "\n")
print(out, len(cases), "cases,", out.stat().st_size, "bytes")
