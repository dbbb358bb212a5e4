"""The most memory this process ever held; alone (``python -m bench.peak``), that of an interpreter that does nothing else."""

import resource
import sys


def peak_bytes() -> int:
    """Return the peak of this process. ``ru_maxrss`` on Linux would include what the parent held when it made this process."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - pathlib is memory too
            line = next(line for line in status if line.startswith("VmHWM"))
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    print(peak_bytes())
