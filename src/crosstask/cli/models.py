"""`crosstask models`."""

import argparse
import json


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="crosstask models", description="list architectures")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)

    from crosstask.models.registry import ARCHITECTURES

    models = {name: architecture.summary for name, architecture in ARCHITECTURES.items()}
    if args.json:
        print(json.dumps(models, indent=2))
        return 0
    width = max(map(len, models))
    for name, text in models.items():
        print(f"{name:<{width}}  {text}")
    print("\nYour own: --architecture path/to/file.py:name")
    return 0
