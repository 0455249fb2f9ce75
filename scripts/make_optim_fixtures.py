"""Makes tests/fixtures/optim: what PyTorch's optimizers, schedulers and losses do with the same numbers.

Run by hand, with a Python that has torch 2.x and numpy:

    python scripts/make_optim_fixtures.py optimizer sgd
    python scripts/make_optim_fixtures.py optimizer radam '{"lr": 0.01}' '{"lr": 0.02, "weight_decay": 0.1}'
    python scripts/make_optim_fixtures.py schedule PolynomialLR '{"totalIters": 8, "power": 2}'
    python scripts/make_optim_fixtures.py losses
    python scripts/make_optim_fixtures.py averages

An optimizer is a class of torch.optim, whatever its case; a schedule one of torch.optim.lr_scheduler, with its
arguments in camelCase. Each JSON object is a case; without any, the cases of the fixture that is there are made again.

All in float64. Parameters, gradients and logits come from the integer hash of make_model_fixtures.py.
"""

import argparse
import json
import re
import warnings

import torch
from make_model_fixtures import FIXTURES, listed, rounded, values

STEPS = 50
# Length of a run for the schedules, in epochs or steps.
WHOLE = 20
RATE = 0.4


def optimizer_class(name):
    """The class of torch.optim with this name, whatever its case."""
    return next(
        value for key, value in vars(torch.optim).items() if key.lower() == name.lower() and isinstance(value, type)
    )


def trajectory(name, entry):
    """The parameters after each step; with averages, those."""
    start = {"body.weight": values("optim.start", (5,)), "head.weight": values("optim.head", (3,))}
    gradients = {key: values(f"optim.{key}", (STEPS, len(p))) for key, p in start.items()}
    parameters = {key: torch.nn.Parameter(p.clone()) for key, p in start.items()}
    groups = [{"params": [parameters["body.weight"]]}]
    groups.append({"params": [parameters["head.weight"]], **entry.get("group", {})})
    optimizer = optimizer_class(name)(groups, **entry["settings"])
    scheduler = None
    if entry.get("schedule"):
        scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, [
            torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=10),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=STEPS - 10, eta_min=0.01),
        ], milestones=[10])
    averages = None
    found = []
    for step in range(STEPS):
        for key, parameter in parameters.items():
            parameter.grad = gradients[key][step].clone()
        everything = list(parameters.values())
        if "clipGradValue" in entry:
            torch.nn.utils.clip_grad_value_(everything, entry["clipGradValue"])
        if "clipGradNorm" in entry:
            torch.nn.utils.clip_grad_norm_(everything, entry["clipGradNorm"])
        optimizer.step()
        if scheduler:
            scheduler.step()
        shown = torch.cat(everything).detach()
        if "ema" in entry:
            average = torch.optim.swa_utils.get_ema_multi_avg_fn(entry["ema"]["decay"])
            if averages is None:
                averages = [shown.clone()]
            elif step % entry["ema"]["everySteps"] == 0:
                average(averages, [shown], None)
            shown = averages[0]
        found.append(listed(shown, 10))
    return found


def rates(name, schedule):
    """The learning rates of a run."""
    lr = torch.optim.lr_scheduler
    arguments = {re.sub("[A-Z]", lambda m: "_" + m[0].lower(), k): v for k, v in schedule.items() if k != "warmup"}
    arguments = {("T_max" if k == "t_max" else k): v for k, v in arguments.items()}
    warmup = schedule.get("warmup")
    length = warmup["length"] if warmup else 0
    if name == "CosineAnnealingLR":
        arguments.setdefault("T_max", WHOLE - length)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    scheduler = None if name == "constant" else getattr(lr, name)(optimizer, **arguments)
    if warmup:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
        parts = [lr.LinearLR(optimizer, warmup.get("startFactor", 1 / 3), total_iters=length)]
        parts.append(lr.ConstantLR(optimizer, 1) if name == "constant" else getattr(lr, name)(optimizer, **arguments))
        scheduler = lr.SequentialLR(optimizer, parts, [length])
    found = []
    for _ in range(WHOLE):
        found.append(rounded(optimizer.param_groups[0]["lr"], 12))
        optimizer.step()
        if scheduler:
            scheduler.step()
    return found


def cases_of(folder, name, given, key):
    """The cases that are given, or else those of the fixture."""
    if given:
        return [{key: json.loads(text)} for text in given]
    return json.loads((FIXTURES / "optim" / folder / f"{name}.json").read_text())["cases"]


def make_optimizer(name, given):
    cases = cases_of("optimizers", name, given, "settings")
    for entry in cases:
        # A case is named after what it sets, unless it has a name.
        own = [key for key in entry["settings"] if key != "lr"]
        entry.setdefault("name", ", ".join(own).replace("_", " ") or "defaults")
        entry["trajectory"] = trajectory(name, entry)
    write(f"optimizers/{name}", {"cases": cases})


def make_schedule(name, given):
    cases = cases_of("schedules", name, given, "schedule")
    for entry in cases:
        entry |= {"lr": RATE, "rates": rates(name, entry["schedule"])}
    write(f"schedules/{name}", {"cases": cases})


# A class that contributes nothing to the loss.
ZERO_WEIGHT = [0.0, 1.5, 2.0, 1.0]


def averages():
    """Averages by the rule of torchvision's reference training, after each step."""
    cases = [
        {"ema": {"decay": 0.98, "everySteps": 3}, "globalBatch": 4, "epochs": 5, "stepsPerEpoch": 7},
        {"ema": {"decay": 0.98, "everySteps": 2}, "globalBatch": 8, "epochs": 4, "stepsPerEpoch": 5, "warmup": 2},
        {"ema": {"decay": 0.9, "everySteps": 4}, "globalBatch": 16, "epochs": 2, "stepsPerEpoch": 9},
    ]
    for case in cases:
        ema, epochs = case["ema"], case["epochs"]
        share = min(1.0, (1 - ema["decay"]) * case["globalBatch"] * ema["everySteps"] / epochs)
        model = torch.nn.Linear(1, 1, bias=False)
        averaged = torch.optim.swa_utils.AveragedModel(
            model, avg_fn=lambda old, new, count: (1 - share) * old + share * new)
        case["values"], case["averages"] = [], []
        weights = values("averages", (epochs * case["stepsPerEpoch"],))
        for epoch in range(epochs):
            for step in range(case["stepsPerEpoch"]):
                with torch.no_grad():
                    model.weight.fill_(weights[epoch * case["stepsPerEpoch"] + step])
                if step % ema["everySteps"] == 0:
                    averaged.update_parameters(model)
                    if epoch < case.get("warmup", 0):
                        averaged.n_averaged.fill_(0)
                case["values"].append(rounded(model.weight))
                case["averages"].append(rounded(averaged.module.weight))
    return cases


def losses():
    logits = values("loss.logits", (6, 4), 3)
    labels = [0, 3, 1, 1, 2, 0]
    partners = [3, 1, 1, 2, 0, 0]
    weights = [0.5, 1.5, 2.0, 1.0]
    cases = [{"loss": "crossEntropy"}, {"loss": "crossEntropy", "labelSmoothing": 0.1},
             {"loss": "crossEntropy", "classWeights": weights},
             {"loss": "crossEntropy", "classWeights": weights, "labelSmoothing": 0.2},
             {"loss": "crossEntropy", "share": 0.3},
             {"loss": "crossEntropy", "share": 0.7, "classWeights": weights, "labelSmoothing": 0.1},
             {"loss": "nll"}, {"loss": "nll", "classWeights": weights},
             {"loss": "crossEntropy", "classWeights": ZERO_WEIGHT},
             {"loss": "crossEntropy", "classWeights": ZERO_WEIGHT, "labelSmoothing": 0.2},
             {"loss": "crossEntropy", "share": 0.3, "classWeights": ZERO_WEIGHT},
             {"loss": "nll", "classWeights": ZERO_WEIGHT}]
    for case in cases:
        x = logits.clone().requires_grad_()
        weight = torch.tensor(case["classWeights"]).double() if "classWeights" in case else None
        target = torch.tensor(labels)
        if "share" in case:
            hot = [torch.nn.functional.one_hot(torch.tensor(l), 4).double() for l in (labels, partners)]
            target = case["share"] * hot[0] + (1 - case["share"]) * hot[1]
        if case["loss"] == "nll":
            loss = torch.nn.NLLLoss(weight=weight)(torch.log_softmax(x, 1), target)
        else:
            loss = torch.nn.CrossEntropyLoss(
                weight=weight, label_smoothing=case.get("labelSmoothing", 0))(x, target)
        loss.backward()
        case["value"] = rounded(loss)
        case["gradient"] = listed(x.grad)
    return {"logits": listed(logits), "labels": labels, "partnerLabels": partners, "cases": cases}


def write(name, content):
    path = FIXTURES / "optim" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    made = {"madeBy": f"torch {torch.__version__}, float64", **content}
    path.write_text(json.dumps(made, separators=(",", ":")).replace("},{", "},\n{") + "\n")
    print(f"{name}.json: {path.stat().st_size} bytes")


def main():
    warnings.filterwarnings("ignore", category=UserWarning)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["optimizer", "schedule", "losses", "averages"])
    parser.add_argument("name", nargs="?")
    parser.add_argument("cases", nargs="*", help="JSON")
    arguments = parser.parse_args()
    if arguments.what == "optimizer":
        make_optimizer(arguments.name, arguments.cases)
    elif arguments.what == "schedule":
        make_schedule(arguments.name, arguments.cases)
    else:
        write(arguments.what, {"content": losses() if arguments.what == "losses" else averages()})


if __name__ == "__main__":
    main()
