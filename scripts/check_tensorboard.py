"""Reads a run's TensorBoard event files with the `tensorboard` package and prints what is in them.

    python3 scripts/check_tensorboard.py runs/latest

Needs `tensorboard` (and nothing else). Compares the scalars with `metrics.jsonl`, decodes the pictures' headers,
and exits with 1 when something is missing or differs.
"""

import json
import pathlib
import struct
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def check(run: pathlib.Path) -> list[str]:
    """What is wrong, a sentence each."""
    folder = run / "tensorboard"
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    points = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    history = json.loads((run / "history.json").read_text())
    wrong = []

    def compare(tag: str, expected: list[float]) -> None:
        if tag not in tags["scalars"]:
            wrong.append(f"{tag} is missing")
            return
        found = events.Scalars(tag)
        steps = [event.step for event in found]
        if steps != sorted(set(steps)):
            wrong.append(f"{tag} has steps twice or out of order: {steps}")
        values = [event.value for event in found]
        if len(values) != len(expected):
            wrong.append(f"{tag} has {len(values)} values, expected {len(expected)}")
        for value, want in zip(values, expected):
            if abs(value - want) > 1e-5 * max(1.0, abs(want)):
                wrong.append(f"{tag} holds {value}, expected {want}")
                break
        print(f"{tag}: {len(values)} values, steps {steps[0]} to {steps[-1]}, last {values[-1]:.6g}")

    compare("loss/train", [point["loss"] for point in points])
    compare("accuracy/train", [point["accuracy"] for point in points])
    compare("learning_rate", [point["learningRate"] for point in points])
    compare("images_per_second/all", [point["imagesPerSecond"] for point in points])
    for part, key in [("data", "data"), ("forward_backward", "forwardBackward"), ("exchange", "exchange"),
                      ("idle", "idle"), ("update", "update"), ("total", "total")]:
        compare(f"step_ms/{part}", [point["ms"][key] for point in points])
    for rank in range(history["workers"]):
        own = [point["ranks"][rank] for point in points]
        compare(f"images_per_second/rank_{rank}", [point["imagesPerSecond"] for point in own])
        compare(f"memory_bytes/rank_{rank}", [p["residentBytes"] for p in own if "residentBytes" in p])
    compare("loss/validation", [point["loss"] for point in history["validations"]])
    compare("accuracy/validation", [point["accuracy"] for point in history["validations"]])

    for name in ("batch", "predictions", "confusion"):
        if name not in tags["images"]:
            wrong.append(f"the picture {name} is missing")
            continue
        image = events.Images(name)[-1]
        size = struct.unpack(">II", image.encoded_image_string[16:24])
        if size != (image.width, image.height):
            wrong.append(f"{name} is {size}, its event says {(image.width, image.height)}")
        print(f"{name}: {image.width} x {image.height}, {len(image.encoded_image_string)} bytes, step {image.step}")

    text = events.Tensors("config/text_summary" if "config/text_summary" in tags["tensors"] else "config")
    content = text[0].tensor_proto.string_val[0].decode()
    if "model:" not in content:
        wrong.append("the config has no model")
    print(f"config: {len(content)} characters")
    return wrong


if __name__ == "__main__":
    problems = check(pathlib.Path(sys.argv[1]))
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    print("All well" if not problems else f"{len(problems)} things are wrong")
    sys.exit(1 if problems else 0)
