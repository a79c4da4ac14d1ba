"""What was measured in several runs, put together: samples of the same scenario stand side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.measure import Result, Series, Target


@dataclass
class Stored:
    """Everything that the table is printed from: `facts` of the image, `versions` of the peers, `notes` on
    what was not measured."""

    results: list[Result] = field(default_factory=list)
    facts: dict[str, int] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Stored:
        """What the file has; nothing when there is none."""
        if not path.exists():
            return cls()
        document = json.loads(path.read_text())
        results = [
            Result(
                item["scenario"],
                item["title"],
                item["unit"],
                {name: Series(name, samples) for name, samples in item["samples"].items()},
                [Target(**target) for target in item["targets"]],
                item["x"],
            )
            for item in document["results"]
        ]
        return cls(results, document["facts"], document["versions"], document["notes"])

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        document = {
            "facts": self.facts,
            "versions": self.versions,
            "notes": self.notes,
            "results": [
                {
                    "scenario": result.scenario,
                    "title": result.title,
                    "unit": result.unit,
                    "samples": {name: series.samples for name, series in result.series.items()},
                    "targets": [asdict(target) for target in result.targets],
                    "x": result.x,
                }
                for result in self.results
            ],
        }
        path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")

    def add(self, other: Stored) -> None:
        """Another run's; in another version of a peer, or of the image, it cannot be compared: ValueError."""
        for name, version in other.versions.items():
            if self.versions.setdefault(name, version) != version:
                raise ValueError(
                    f"{name} was {self.versions[name]} and is {version} now: measure all of it again"
                )
        if self.facts and self.facts != other.facts:
            raise ValueError("the image was another one: measure all of it again")
        self.facts = other.facts
        known = {result.scenario: result for result in self.results}
        for result in other.results:
            earlier = known.get(result.scenario)
            if earlier is None:
                self.results.append(result)
                continue
            earlier.targets = result.targets
            for name, series in result.series.items():
                earlier.series.setdefault(name, Series(name)).samples += series.samples
        self.notes += [note for note in other.notes if note not in self.notes]

    def sort(self, order: Sequence[str]) -> None:
        """By scenario and image, in `order` of the scenarios' first words."""
        self.results.sort(key=lambda result: order.index(result.scenario.partition("-")[0]))
