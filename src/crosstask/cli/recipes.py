"""`crosstask recipes`."""

import json

from crosstask.cli.arguments import CommandParser
from crosstask.recipes.catalogue import RECIPES


def main(argv: list[str]) -> int:
    parser = CommandParser(prog="crosstask recipes", description="list recipes")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    if args.json:
        print(json.dumps(RECIPES, indent=2))
        return 0
    width = max(map(len, RECIPES))
    for name, text in RECIPES.items():
        print(f"{name:<{width}}  {text}")
    print("\nYour own: crosstask train path/to/file.py:function --run DIR")
    return 0
