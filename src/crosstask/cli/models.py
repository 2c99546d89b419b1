"""`crosstask models`."""

import json

from crosstask.cli.arguments import CommandParser
from crosstask.cli.declared import architectures


def main(argv: list[str]) -> int:
    parser = CommandParser(prog="crosstask models", description="list architectures")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)

    models = architectures()
    if args.json:
        print(json.dumps(models, indent=2))
        return 0
    width = max(map(len, models))
    for name, text in models.items():
        print(f"{name:<{width}}  {text}")
    print("\nYour own: --architecture path/to/file.py:name")
    return 0
