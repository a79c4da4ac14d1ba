"""A table for people, JSON for machines, a chart for the eye."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

from bench.measure import Result, Target


def figure(value: float, unit: str) -> str:
    """A quantity; a factor (×) has two places more than none."""
    if unit == "×":
        return f"{value:.2f}×"
    digits = 1 if value < 100 else 0
    return f"{value:.{digits}f} {unit}"


def bound_text(target: Target, unit: str) -> str:
    sign = "≥" if target.at_least else "≤"
    if not target.peer:
        return f"{sign} {target.bound:g}{'' if unit == '×' else ' '}{unit}"
    whole = round(1 / target.bound)
    if whole > 1 and abs(target.bound * whole - 1) < 1e-9:
        return f"{sign} 1/{whole}"
    return f"{sign} {target.bound:g}×"


def ratio_text(ratio: float, target: Target, unit: str) -> str:
    if not target.peer:
        return figure(ratio, unit)
    return f"1/{1 / ratio:.1f}" if ratio < 0.5 else f"{ratio:.2f}×"


def table(results: list[Result]) -> str:
    """A Markdown table: a row for each target, with both medians and the ratio."""
    lines = [
        "| what | corten | beside | ratio | wanted | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for result in results:
        for target in result.targets:
            ours = result.series[target.ours].median
            beside = (
                f"{target.peer} {figure(result.series[target.peer].median, result.unit)}"
                if target.peer
                else "–"
            )
            lines.append(
                f"| {result.title} | {figure(ours, result.unit)} | {beside} |"
                f" {ratio_text(result.ratio(target), target, result.unit)} |"
                f" {bound_text(target, result.unit)} | {'met' if result.met(target) else '**missed**'} |"
            )
        named = {t.peer for t in result.targets} | {t.ours for t in result.targets}
        for name, series in result.series.items():
            if name not in named:
                lines.append(f"| {result.title} | | {name} {figure(series.median, result.unit)} | | | |")
    return "\n".join(lines)


def machine() -> str:
    return f"Linux {platform.release()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def tell(
    name: str, results: list[Result], versions: dict[str, str], notes: list[str], directory: Path
) -> int:
    """Prints the table and writes the files; the exit status: 1 when a target was missed."""
    print(f"{machine()}; {', '.join(f'{peer} {version}' for peer, version in versions.items())}\n")
    print(table(results))
    for note in notes:
        print(f"\nnot measured: {note}")
    write(results, versions, directory, name)
    return 0 if all(result.met(target) for result in results for target in result.targets) else 1


def write(results: list[Result], versions: dict[str, str], directory: Path, name: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    document = {
        "machine": machine(),
        "versions": versions,
        "results": [
            {
                "scenario": r.scenario,
                "title": r.title,
                "unit": r.unit,
                "samples": {s.peer: s.samples for s in r.series.values()},
                "medians": {s.peer: s.median for s in r.series.values()},
                "targets": [
                    {
                        "ours": t.ours,
                        "peer": t.peer,
                        "bound": t.bound,
                        "at_least": t.at_least,
                        "ratio": r.ratio(t),
                        "met": r.met(t),
                    }
                    for t in r.targets
                ],
            }
            for r in results
        ],
    }
    (directory / f"{name}.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    chart(results, directory / f"{name}.png")


COLOURS = {
    "corten": "#b7410e",
    "corten overlay": "#dd9c7b",
    "docker": "#2496ed",
    "podman": "#892ca0",
    "distribution": "#466ba6",
    "docker-registry": "#2496ed",
    "kernel": "#555555",
}


def chart(results: list[Result], path: Path) -> None:
    try:
        import matplotlib
    except ImportError:
        print("no chart: matplotlib is not installed (pip install matplotlib)")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = 2
    rows = (len(results) + 1) // columns
    figure_, axes = pyplot.subplots(rows, columns, figsize=(11, 1.9 * rows), squeeze=False)
    for axis in axes.flat[len(results) :]:
        axis.set_visible(False)
    for axis, result in zip(axes.flat, results, strict=False):
        if result.x:
            _curve(axis, result, result.x)
        else:
            _bars(axis, result)
        axis.set_title(result.title, fontsize=9, loc="left")
        axis.tick_params(labelsize=8)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    inch = 1 / (1.9 * rows)  # of the figure's height
    title = f"Medians, in one run, in turns. {machine()}"
    figure_.suptitle(title, fontsize=9, x=0.01, y=1 - 0.1 * inch, ha="left", va="top")
    figure_.tight_layout(rect=(0, 0, 1, 1 - 0.3 * inch))
    figure_.savefig(path, dpi=110)
    pyplot.close(figure_)


def _bars(axis: Any, result: Result) -> None:
    names = list(result.series)[::-1]
    values = [result.series[n].median for n in names]
    colours = [COLOURS.get(n) or COLOURS.get(n.split()[0], "#9a9a9a") for n in names]
    axis.barh(names, values, color=colours, height=0.62)
    for index, value in enumerate(values):
        axis.text(value, index, "  " + figure(value, result.unit), va="center", fontsize=8)
    axis.set_xlim(0, max(values) * 1.25)
    axis.xaxis.set_visible(False)
    axis.spines["bottom"].set_visible(False)


def _curve(axis: Any, result: Result, x: dict[str, float]) -> None:
    names = sorted(result.series, key=lambda name: x[name])
    values = [result.series[name].median for name in names]
    axis.plot([x[name] for name in names], values, marker="o", color=COLOURS["corten"])
    for name, value in zip(names, values, strict=True):
        axis.annotate(
            figure(value, result.unit), (x[name], value), (0, 6), textcoords="offset points", fontsize=8
        )
    axis.set_xscale("log")
    axis.set_xticks([x[name] for name in names], names)
    axis.minorticks_off()
    axis.set_ylim(0, max(values) * 1.4)
    axis.set_ylabel(result.unit, fontsize=8)
