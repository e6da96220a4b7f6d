"""`make bench`: every benchmark of this folder, one after another; each prints one JSON document."""

import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Run them all; the worst exit status is ours."""
    files = sorted(Path(__file__).parent.glob("bench_*.py"))
    runs = [subprocess.run([sys.executable, str(file), *sys.argv[1:]], check=False) for file in files]  # noqa: S603 - our own files
    return max(run.returncode for run in runs)


if __name__ == "__main__":
    sys.exit(main())
