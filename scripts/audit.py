"""Asks PyPI's advisory data about every package in constraints.txt; says so where that cannot be had.

Exit status: 0 nothing is known against them, 1 something is, 3 they could not all be asked about.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Run pip-audit and put its findings in a few lines."""
    constraints = ROOT / "constraints.txt"
    command = [sys.executable, "-m", "pip_audit", "-r", constraints, "--no-deps", "--disable-pip"]
    done = subprocess.run(
        [*command, "-f", "json", "--progress-spinner", "off"], capture_output=True, text=True, check=False
    )
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        words = done.stderr.strip().splitlines()[-1:]
        print("NOT AUDITED: the advisory data cannot be reached from here.", *words, sep="\n")
        return 3
    return report(packages)


def report(packages: list[dict[str, object]]) -> int:
    """Print what pip-audit found; the exit status."""
    skipped = [package for package in packages if "skip_reason" in package]
    bad = [package for package in packages if package.get("vulns")]
    for package in bad:
        for advisory in package["vulns"]:  # type: ignore[attr-defined]
            fixed = ", ".join(advisory["fix_versions"]) or "no version yet"
            print(f"{package['name']} {package['version']}: {advisory['id']}, fixed in {fixed}")
    print(f"{len(packages) - len(skipped)} of {len(packages)} packages were audited, {len(bad)} have known faults.")
    if skipped:
        print(f"NOT AUDITED: {len(skipped)} packages, e.g.: {skipped[0]['skip_reason']}")
    return 1 if bad else 3 if skipped else 0


if __name__ == "__main__":
    sys.exit(main())
