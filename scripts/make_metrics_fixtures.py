"""Makes tests/fixtures/metrics: what scikit-learn, PyTorch and NumPy say about the same predictions.

Run by hand, with a Python that has torch 2.x, torchvision, numpy and scikit-learn:

    python scripts/make_metrics_fixtures.py

Logits, labels and parameters come from the integer hash of make_model_fixtures.py; all is computed in float64.
"""

import json
import warnings

import numpy as np
import torch
import torchvision
from make_model_fixtures import FIXTURES, fill_model, listed, rounded, units, values
from sklearn import metrics

BINS = 15


def case(name, samples, classes, sharpness, present=None):
    """Predictions whose labels follow the logits more often than not; `present` limits the labels."""
    logits = values(f"metrics.{name}.logits", (samples, classes), sharpness)
    draws = (units(f"metrics.{name}.labels", samples) + 1) / 2
    labels = (draws * (present or classes)).astype(int)
    # Half of the labels are the best of the allowed classes.
    best = logits[:, : (present or classes)].argmax(1).numpy()
    labels[::2] = best[::2]
    probabilities = torch.softmax(logits, 1).numpy()
    return labels, logits, probabilities


def expected_calibration_error(confidences, right):
    """Guo et al. 2017, section 2: bins ((m - 1)/M, m/M]."""
    edges = np.linspace(0, 1, BINS + 1)
    bins = np.digitize(confidences, edges[1:-1], right=True)
    ece, mce, counts = 0.0, 0.0, []
    for index in range(BINS):
        inside = bins == index
        counts.append(int(inside.sum()))
        if not inside.any():
            continue
        gap = abs(right[inside].mean() - confidences[inside].mean())
        ece += inside.mean() * gap
        mce = max(mce, gap)
    return ece, mce, counts


def measure(name, samples, classes, sharpness, present=None):
    labels, logits, probabilities = case(name, samples, classes, sharpness, present)
    predicted = probabilities.argmax(1)
    confidences = probabilities.max(1)
    everything = list(range(classes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = metrics.precision_recall_fscore_support(
            labels, predicted, labels=everything, zero_division=0)
        with_samples = sorted(set(labels.tolist()))
        means = {
            average: metrics.precision_recall_fscore_support(
                labels, predicted, labels=with_samples, average=average, zero_division=0)[:3]
            for average in ["macro", "weighted"]
        }
    ece, mce, counts = expected_calibration_error(confidences, predicted == labels)
    order = np.argsort(-logits.numpy(), axis=1, kind="stable")
    losses = torch.nn.functional.cross_entropy(
        logits, torch.from_numpy(labels), reduction="none")
    result = {
        "name": name,
        "samples": samples,
        "classes": classes,
        "sharpness": sharpness,
        "labels": labels.tolist(),
        "confusion": metrics.confusion_matrix(labels, predicted, labels=everything).tolist(),
        "accuracy": rounded(metrics.accuracy_score(labels, predicted)),
        "precision": [rounded(value) for value in scores[0]],
        "recall": [rounded(value) for value in scores[1]],
        "f1": [rounded(value) for value in scores[2]],
        "support": scores[3].tolist(),
        "macro": [rounded(value) for value in means["macro"]],
        "weighted": [rounded(value) for value in means["weighted"]],
        "ece": rounded(ece),
        "mce": rounded(mce),
        "binCounts": counts,
        "firstRanks": order[:3].tolist(),
        "firstLosses": listed(losses[:3]),
    }
    if classes > 5:
        result["top5"] = rounded(metrics.top_k_accuracy_score(
            labels, logits.numpy(), k=5, labels=everything))
    return result


def grad_cam(name, layer, classes, size):
    """The map of each picture's best class at a module's output, by PyTorch's autograd."""
    model = fill_model(torchvision.models.get_model(name, num_classes=classes).double().eval())
    images = {"name": f"grad_cam.{name}", "shape": [2, 3, size, size], "scale": 2}
    kept = []

    def keep(_module, _inputs, output):
        output.retain_grad()
        kept.append(output)

    model.get_submodule(layer).register_forward_hook(keep)
    logits = model(values(images["name"], images["shape"], images["scale"]))
    best = logits.argmax(1)
    logits.gather(1, best[:, None]).sum().backward()
    features = kept[0]
    if name == "densenet121":  # a ReLU without a module follows
        features = torch.relu(features)
        # The hook sees what goes into the ReLU, and its gradient: what comes out has the one below.
        pooled = features.detach().requires_grad_()
        out = model.classifier(torch.nn.functional.adaptive_avg_pool2d(pooled, 1).flatten(1))
        gradient = torch.autograd.grad(out.gather(1, best[:, None]).sum(), pooled)[0]
    else:
        gradient = features.grad
    weights = gradient.mean((2, 3), keepdim=True)
    maps = torch.relu((weights * features).sum(1))
    return {
        "model": name,
        "classes": classes,
        "input": images,
        "logits": listed(logits.detach()),
        "best": best.tolist(),
        "maps": listed(maps.detach(), 6),
    }


def main():
    folder = FIXTURES / "metrics"
    folder.mkdir(exist_ok=True)
    reports = [
        measure("two", 60, 2, 2),
        measure("seven", 150, 7, 4),
        measure("twelve with absent classes", 90, 12, 3, present=8),
        measure("sharp", 80, 4, 300),
    ]
    (folder / "reports.json").write_text(json.dumps(reports, indent=1) + "\n")
    maps = [
        grad_cam("resnet18", "layer4", 5, 96),
        grad_cam("squeezenet1_1", "features", 5, 96),
        grad_cam("densenet121", "features", 5, 64),
    ]
    (folder / "grad_cam.json").write_text(json.dumps(maps, indent=1) + "\n")


if __name__ == "__main__":
    main()
