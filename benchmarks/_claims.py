"""What every benchmark shares: its two options, summaries of timings, and the claims that its last lines state."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Claim:
    """A number and the bound that it is to keep.

    Attributes:
        at_most: whether the bound is the greatest value allowed; else it is the least.
    """

    name: str
    value: float
    bound: float
    at_most: bool = True

    @property
    def kept(self) -> bool:
        """Whether the value keeps the bound; a value that is not a number does not."""
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    def line(self) -> str:
        """As the last lines of a benchmark have it."""
        return f"claim {self.name} value={self.value:.3g} bound={self.bound:g} {'ok' if self.kept else 'short'}"


@dataclass
class Report:
    """Collects the figures of a benchmark, prints them as they come, and ends with the claims."""

    name: str
    figures: dict[str, object] = field(default_factory=dict[str, object])
    claims: list[Claim] = field(default_factory=list[Claim])

    def say(self, name: str, value: object, text: str) -> None:
        """Keeps a figure and prints its sentence."""
        self.figures[name] = value
        print(text, flush=True)

    def times(self, name: str, title: str, seconds: Sequence[float]) -> float:
        """Keeps timings, prints their median, spread and count in ms; the median in ms."""
        ms = sorted(1000 * s for s in seconds)
        middle = statistics.median(ms)
        p95 = ms[min(len(ms) - 1, round(0.95 * (len(ms) - 1)))]
        self.figures[name] = {"median_ms": middle, "least_ms": ms[0], "p95_ms": p95, "count": len(ms)}
        print(f"  {title:<58} median {middle:8.1f} ms   least {ms[0]:8.1f}   p95 {p95:8.1f}   n {len(ms)}", flush=True)
        return middle

    def claim(self, name: str, value: float, bound: float, *, at_most: bool = True) -> None:
        """Adds a claim; it is printed at the end."""
        self.claims.append(Claim(name, value, bound, at_most))

    def end(self, json_file: Path | None) -> None:
        """Prints the machine and the claims, and writes the JSON file if one is wanted."""
        usage, of_children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        load = os.getloadavg()
        machine = {
            "system": platform.platform(),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "load": load,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "cpu_seconds_of_children": of_children.ru_utime + of_children.ru_stime,
        }
        print(
            f"{machine['cores']} cores, load {load[0]:.2f} {load[1]:.2f} {load[2]:.2f}, "
            f"{machine['cpu_seconds']:.1f} s of processor time here and {machine['cpu_seconds_of_children']:.1f} s in "
            f"processes that ended, Python {machine['python']}"
        )
        for claim in self.claims:
            print(claim.line())
        if json_file is not None:
            rows = [{**asdict(claim), "kept": claim.kept} for claim in self.claims]
            found: Mapping[str, object] = {
                "benchmark": self.name,
                "machine": machine,
                "figures": self.figures,
                "claims": rows,
            }
            json_file.write_text(json.dumps(found, indent=2) + "\n")


def options(description: str) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="fewer repeats; at most two minutes")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="also write the figures here")
    return parser
