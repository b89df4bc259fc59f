"""What `import memgym` costs on top of `import gymnasium`, in fresh processes.

    python benchmarks/import_time.py --rounds 9

Both are started in turn; the table shows the median and the spread of the CPU time of the whole process.
"""

import argparse
import resource
import statistics
import subprocess
import sys

PROGRAMS = {
    "python": "pass",
    "import gymnasium": "import gymnasium",
    "import gymnasium, memgym": "import gymnasium, memgym",
}


def child_cpu_s(program: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(rounds):
        for name, program in PROGRAMS.items():
            times[name].append(child_cpu_s(program))
    for name, row in times.items():
        print(f"{name:26s} {statistics.median(row):6.3f} s   ({min(row):.3f} to {max(row):.3f})")
    extra = [b - a for a, b in zip(times["import gymnasium"], times["import gymnasium, memgym"], strict=True)]
    print(f"memgym on top of gymnasium {statistics.median(extra):6.3f} s")


if __name__ == "__main__":
    main()
