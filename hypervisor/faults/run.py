"""Applies each deliberate fault of list.toml and runs the test that must fail: run.py [--quick] [NAME...]

    run.py --quick ...         takes for granted that the tests pass without a fault
    run.py --checks FILE...    leaves out, one after the other, each check of a file that is a line of its own

Works on a copy of the workspace. First every test runs on the unchanged copy, where it must pass; then, for each fault,
the changed copy must build and its test must fail. Prints a line for each, and fails when a fault goes unnoticed.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
WORKSPACE = HERE.parent

# Bounds what a test may take, in seconds; one whose fault makes it hang is over then.
LIMIT = 900
HANG = 120


def cargo(copy, fault, *more, limit=LIMIT):
    # A run of the model that fails need not shrink.
    environment = dict(os.environ, RUST_BACKTRACE="0", TANTALUM_MODEL_TRIES="0")
    target = pathlib.Path(environment.get("CARGO_TARGET_DIR", copy / "target"))
    if fault.get("shuttle"):
        environment["RUSTFLAGS"] = environment.get("RUSTFLAGS", "") + " --cfg shuttle"
        target = target.with_name(target.name + "-shuttle")
    environment["CARGO_TARGET_DIR"] = str(target)
    command = ["cargo", "test", "--quiet", *fault["test"].split(), *more]
    try:
        run = subprocess.run(
            command, cwd=copy, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return None, "it hangs"
    return run.returncode, run.stdout.decode(errors="replace")


def first_reason(text):
    lines = text.splitlines()
    for at, line in enumerate(lines):
        if "panicked at" in line and at + 1 < len(lines):
            return lines[at + 1][:100]
    return lines[-1][:100] if lines else ""


# Is a check that is a line of its own: without it, something that must be refused is not.
CHECKS = r"valid|permitted|not_empty|only_normal_world|receives|check_\w+|run_model::check|self\.may"
CHECK = re.compile(rf"^ +({CHECKS})\(.*\)\?;$")

# Notices what the generated faults do: the model, and the tests of memory, messages and notifications.
GENERATED = "-p tantalum-model -p tantalum-sim --test runs --test share --test indirect --test notify --test schedule"


def generated(files):
    """A fault for each check of the files."""
    faults = {}
    for file in files:
        lines = (WORKSPACE / file).read_text().splitlines(keepends=True)
        end = next((at for at, line in enumerate(lines) if line.startswith("#[cfg(test)]")), len(lines))
        for at in range(1, end):
            if CHECK.match(lines[at].rstrip("\n")):
                # With the line before and the one behind, so that it is there once.
                before, behind = "".join(lines[at - 1 : at]), "".join(lines[at + 1 : at + 2])
                faults[f"{file}:{at + 1} {lines[at].strip()}"] = {
                    "file": file,
                    "find": before + lines[at] + behind,
                    "replace": before + behind,
                    "test": GENERATED,
                }
    return faults


def main():
    arguments = sys.argv[1:]
    quick = "--quick" in arguments
    if quick:
        arguments.remove("--quick")
    if arguments[:1] == ["--checks"]:
        faults = generated(arguments[1:])
        names = list(faults)
    else:
        faults = tomllib.loads((HERE / "list.toml").read_text())
        names = arguments or list(faults)
    unknown = [name for name in names if name not in faults]
    if unknown:
        sys.exit(f"no such fault: {', '.join(unknown)}")
    missed = []
    with tempfile.TemporaryDirectory(prefix="faults.") as folder:
        copy = pathlib.Path(folder) / "hypervisor"
        shutil.copytree(WORKSPACE, copy, ignore=shutil.ignore_patterns("target"))
        seen = set()
        for name in names:
            key = (faults[name]["test"], faults[name].get("shuttle", False))
            if quick or key in seen:
                continue
            seen.add(key)
            status, text = cargo(copy, faults[name])
            if status != 0:
                sys.exit(f"{faults[name]['test']} fails without a fault:\n{text}")
            print(f"passes without a fault: {faults[name]['test']}", flush=True)
        for name in names:
            fault = faults[name]
            path = copy / fault["file"]
            before = path.read_text()
            if before.count(fault["find"]) != 1:
                sys.exit(f"{name}: {fault['file']} has it {before.count(fault['find'])} times:\n{fault['find']}")
            begin = time.monotonic()
            path.write_text(before.replace(fault["find"], fault["replace"]))
            try:
                status, text = cargo(copy, fault, "--no-run", limit=None)
                if status != 0:
                    if "--checks" in sys.argv:
                        print(f"does not build without {name}", flush=True)
                        continue
                    sys.exit(f"{name} does not build:\n{text}")
                status, text = cargo(copy, fault, limit=HANG if fault.get("hangs") else LIMIT)
            finally:
                path.write_text(before)
            caught = status != 0 if status is not None else fault.get("hangs", False)
            took = time.monotonic() - begin
            test = fault["test"].split()[-1]
            verdict = "caught" if caught else "MISSED"
            print(f"{verdict} {name} by {test} ({took:.0f} s): {first_reason(text)}", flush=True)
            if not caught:
                missed.append(name)
    print(f"{len(names) - len(missed)} of {len(names)} faults are caught")
    if missed:
        sys.exit(f"missed: {', '.join(missed)}")


main()
