"""``python -m watchfloor_service.demo.generator FOLDER [TRUTH_FILE]`` writes the scenario."""

from __future__ import annotations

import sys
from pathlib import Path

from watchfloor_service.demo.generator.delivery import write_scenario


def main(arguments: list[str]) -> None:
    match arguments:
        case [folder]:
            write_scenario(Path(folder))
        case [folder, truth_file]:
            write_scenario(Path(folder), Path(truth_file))
        case _:
            sys.exit("usage: python -m watchfloor_service.demo.generator FOLDER [TRUTH_FILE]")


if __name__ == "__main__":
    main(sys.argv[1:])
