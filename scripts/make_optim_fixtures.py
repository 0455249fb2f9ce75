"""Makes tests/fixtures/optim: what PyTorch's optimizers, schedulers and losses do with the same numbers.

Run by hand, with a Python that has torch 2.x and numpy:  python scripts/make_optim_fixtures.py

All in float64. Parameters, gradients and logits come from the integer hash of make_model_fixtures.py.
"""

import json
import warnings

import torch
from make_model_fixtures import FIXTURES, listed, rounded, values

STEPS = 50


def trajectories():
    cases = []

    def case(name, optimizer, settings, **more):
        cases.append({"name": name, "optimizer": optimizer, "settings": settings, **more})

    case("plain", "sgd", {"lr": 0.1, "momentum": 0})
    case("momentum", "sgd", {"lr": 0.1, "momentum": 0.9})
    case("Nesterov and weight decay", "sgd",
         {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True})
    case("dampening and weight decay", "sgd",
         {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01})
    case("defaults", "adam", {"lr": 0.01})
    case("weight decay, other betas", "adam",
         {"lr": 0.02, "betas": [0.8, 0.95], "eps": 1e-6, "weight_decay": 0.1})
    case("defaults", "adamw", {"lr": 0.01})
    case("weight decay", "adamw", {"lr": 0.02, "weight_decay": 0.3})
    case("clipped by norm", "sgd", {"lr": 0.1, "momentum": 0.9}, clipGradNorm=0.8)
    case("clipped by value", "adam", {"lr": 0.01}, clipGradValue=0.4)
    case("clipped by value and norm", "sgd", {"lr": 0.1, "momentum": 0.9}, clipGradNorm=0.8,
         clipGradValue=0.6)
    case("a group of its own", "sgd", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01},
         group={"lr": 0.3, "weight_decay": 0.1})
    case("a group of its own", "adamw", {"lr": 0.01}, group={"lr": 0.05})
    case("cosine after warm-up, per step", "sgd", {"lr": 0.1, "momentum": 0.9}, schedule=True)
    case("averaged weights", "sgd", {"lr": 0.1, "momentum": 0.9}, ema={"decay": 0.9, "everySteps": 4})

    start = {"body.weight": values("optim.start", (5,)), "head.weight": values("optim.head", (3,))}
    gradients = {name: values(f"optim.{name}", (STEPS, len(p))) for name, p in start.items()}
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    for entry in cases:
        parameters = {name: torch.nn.Parameter(p.clone()) for name, p in start.items()}
        settings = dict(entry["settings"])
        groups = [{"params": [parameters["body.weight"]]}]
        groups.append({"params": [parameters["head.weight"]], **entry.get("group", {})})
        optimizer = kinds[entry["optimizer"]](groups, **settings)
        scheduler = None
        if entry.get("schedule"):
            scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, [
                torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=10),
                torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=STEPS - 10, eta_min=0.01),
            ], milestones=[10])
        averages = None
        entry["trajectory"] = []
        for step in range(STEPS):
            for name, parameter in parameters.items():
                parameter.grad = gradients[name][step].clone()
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
            entry["trajectory"].append(listed(shown, 10))
    return {"start": {n: listed(p, 17) for n, p in start.items()},
            "gradients": {n: listed(g, 17) for n, g in gradients.items()}, "cases": cases}


def schedules():
    lr = torch.optim.lr_scheduler
    cases = [
        ({"name": "StepLR", "stepSize": 7, "gamma": 0.1}, lambda o: lr.StepLR(o, 7, 0.1)),
        ({"name": "MultiStepLR", "milestones": [3, 10, 11], "gamma": 0.5},
         lambda o: lr.MultiStepLR(o, [3, 10, 11], 0.5)),
        ({"name": "ExponentialLR", "gamma": 0.9}, lambda o: lr.ExponentialLR(o, 0.9)),
        ({"name": "CosineAnnealingLR", "etaMin": 0.001}, lambda o: lr.CosineAnnealingLR(o, 20, 0.001)),
        ({"name": "CosineAnnealingLR", "tMax": 8}, lambda o: lr.CosineAnnealingLR(o, 8)),
        ({"name": "constant", "warmup": {"length": 5}},
         lambda o: lr.LinearLR(o, total_iters=5)),
        ({"name": "StepLR", "stepSize": 4, "gamma": 0.5, "warmup": {"length": 5, "startFactor": 0.01}},
         lambda o: lr.SequentialLR(o, [lr.LinearLR(o, 0.01, total_iters=5), lr.StepLR(o, 4, 0.5)], [5])),
        ({"name": "CosineAnnealingLR", "warmup": {"length": 5, "startFactor": 0.5}},
         lambda o: lr.SequentialLR(o, [lr.LinearLR(o, 0.5, total_iters=5),
                                       lr.CosineAnnealingLR(o, 15)], [5])),
    ]
    result = []
    for config, make in cases:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
        scheduler = make(optimizer)
        rates = []
        for _ in range(20):
            rates.append(rounded(optimizer.param_groups[0]["lr"], 12))
            optimizer.step()
            scheduler.step()
        result.append({"schedule": config, "lr": 0.4, "rates": rates})
    return result


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


def main():
    warnings.filterwarnings("ignore", category=UserWarning)
    made = [("trajectories", trajectories()), ("schedules", schedules()), ("losses", losses()), ("averages", averages())]
    for name, content in made:
        path = FIXTURES / "optim" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        made = {"madeBy": f"torch {torch.__version__}, float64", "content": content}
        path.write_text(json.dumps(made, separators=(",", ":")).replace("},{", "},\n{") + "\n")
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
