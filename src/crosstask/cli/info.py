"""`crosstask info RECIPE`: parameters and multiply-accumulates by part, data and schedule."""

import json

from crosstask.cli.arguments import add_trust, checked_options
from crosstask.cli.parsing import recipe_name, recipe_parser
from crosstask.recipes.resolving import split_options


def main(argv: list[str]) -> int:
    name, rest = recipe_name(argv, "info")
    function, parser, names = recipe_parser(name, "info")
    parser.add_argument("--json", action="store_true")
    add_trust(parser)
    namespace = parser.read(rest)
    options = checked_options(split_options(namespace, names), argv, namespace)

    from crosstask.engine.own_networks import describe_network, without_weights
    from crosstask.models.flops import count_macs

    options = without_weights(options)  # counting needs none
    experiment = function(**options)
    model = describe_network(experiment.regime.network, {"recipe": name, **options})
    parts = count_macs(experiment.regime.network, experiment.size)
    facts = {
        "recipe": name,
        "architecture": model["architecture"],
        "encoder": model["encoder"],
        "tasks": [task.name for task in experiment.tasks],
        "size": list(experiment.size),
        "steps": experiment.steps,
        "batch_size": experiment.batch_size,
        "accumulate": experiment.accumulate,
        "optimizer": experiment.regime.settings.to_dict(),
        "protocol": experiment.protocol,
        "expected": experiment.expected,
    }
    total = parts.pop("total")
    if namespace.json:
        print(json.dumps({**facts, "parts": parts, "total": total}, indent=2))
        return 0
    _print(facts, parts, total)
    return 0


def _print(facts: dict, parts: dict, total: dict) -> None:  # type: ignore[type-arg]
    from rich.table import Table

    from crosstask.cli.tables import console

    height, width = facts["size"]
    table = Table(
        title=f"{facts['recipe']}: {facts['architecture']} on {facts['encoder']}, "
        f"{'-'.join(t[0].upper() for t in facts['tasks'])}, {height}x{width}",
        title_justify="left",
    )
    table.add_column("part")
    table.add_column("parameters", justify="right")
    table.add_column("GMACs", justify="right")
    for part, numbers in parts.items():
        table.add_row(part, f"{numbers['parameters']:,}", f"{numbers['macs'] / 1e9:.2f}")
    table.add_section()
    table.add_row("total", f"{total['parameters']:,}", f"{total['macs'] / 1e9:.2f}")
    sheet = console()
    sheet.print(table)
    optimizer = facts["optimizer"]
    sheet.print(
        f"{facts['steps']:,} steps of {facts['batch_size']} x {facts['accumulate']} images; "
        f"{optimizer['name']} {optimizer['lr']:g} (encoder {optimizer['encoder_lr']:g}), "
        f"{optimizer['schedule']} schedule; protocol {facts['protocol']}"
    )
    if facts["expected"]:
        sheet.print(f"expected: {facts['expected']}")
