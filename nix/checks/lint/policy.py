"""Rules about the workspace that no compiler knows: policy.py RULE METADATA

METADATA is the output of `cargo metadata`. Prints each breach and fails when there is one.
"""

import json
import pathlib
import re
import sys

# Logic runs on the host and on the machine alike. It asks the traits of `hal` and knows neither side.
LOGIC = ("types", "ffa", "manifest", "stage2", "spmc", "hal", "trace", "vmm", "protocol")
MACHINE = {"tantalum-aarch64", "tantalum-qemu-virt", "aarch64-cpu", "arm-gic", "arm-pl011-uart", "arm-sysregs"}
# Reads device trees, and panics on bad ones: only behind `manifest`, which checks them first.
ONLY_USER = {"fdt": {"tantalum-manifest"}}

# The crates that may hold unsafe code: all others forbid it, so that a reviewer knows where to look.
MAY_BE_UNSAFE = {
    "tantalum-aarch64",
    "tantalum-qemu-virt",
    "tantalum-spmc-image",
    "tantalum-vmm-image",
    "tantalum-sdk",
    "tantalum-sim",
    # It reads the counters that the compiler puts in, in `coverage`.
    "tantalum-fuzz",
    # Bare-metal too; `src/machine` has it, and the cases forbid it.
    "tantalum-payload",
    "tantalum-bl33",
    "tantalum-guest",
}
# A partition names itself to the SDK's entry code by a macro that has to say `unsafe`. It writes none of its own.
PARTITION_OF = "tantalum-sdk"

# Licences under which a crate may become part of the project's binaries.
LICENCES = {
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "0BSD",
}


def dependencies(metadata):
    packages = {package["id"]: package for package in metadata["packages"]}
    graph = {}
    for node in metadata["resolve"]["nodes"]:
        # What tests use is not part of the logic.
        graph[node["id"]] = [
            dep["pkg"] for dep in node["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])
        ]

    def reached(start):
        """Every dependency of a package, with the way that leads to it."""
        ways = {start: [start]}
        queue = [start]
        while queue:
            here = queue.pop()
            for there in graph[here]:
                if there not in ways:
                    ways[there] = ways[here] + [there]
                    queue.append(there)
        return ways

    members = [packages[member] for member in metadata["workspace_members"]]
    names = {f"tantalum-{name}" for name in LOGIC}
    for member in members:
        if member["name"] in names:
            for target, way in reached(member["id"]).items():
                if packages[target]["name"] in MACHINE:
                    path = " -> ".join(packages[step]["name"] for step in way)
                    yield f"logic depends on the machine: {path}"
        for target in graph[member["id"]]:
            name = packages[target]["name"]
            if name in ONLY_USER and member["name"] not in ONLY_USER[name]:
                yield f"{member['name']} uses {name}; only {', '.join(ONLY_USER[name])} may"


def unsafe(metadata):
    packages = {package["id"]: package for package in metadata["packages"]}
    for member in sorted(metadata["workspace_members"]):
        package = packages[member]
        if package["name"] in MAY_BE_UNSAFE:
            continue
        is_partition = any(dependency["name"] == PARTITION_OF for dependency in package["dependencies"])
        for target in package["targets"]:
            if "lib" not in target["kind"] and "bin" not in target["kind"]:
                continue
            text = pathlib.Path(target["src_path"]).read_text()
            if is_partition and "bin" in target["kind"]:
                if re.search(r"\bunsafe\b", text):
                    yield f"{package['name']}: {target['src_path']} is a partition and has unsafe code"
            elif "#![forbid(unsafe_code)]" not in text:
                yield f"{package['name']}: {target['src_path']} does not say #![forbid(unsafe_code)]"


def licences(metadata):
    for package in sorted(metadata["packages"], key=lambda package: package["name"]):
        text = package["license"] or ""
        # A licence is an expression: any side of an OR will do, and all sides of an AND are needed.
        alternatives = re.split(r"\s+OR\s+|/", text)
        if not any(
            all(part.strip(" ()") in LICENCES for part in re.split(r"\s+AND\s+", alternative))
            for alternative in alternatives
        ):
            yield f"{package['name']} {package['version']}: licence '{text}' is not on the list"


def main():
    rules = {"dependencies": dependencies, "unsafe": unsafe, "licences": licences}
    if len(sys.argv) != 3 or sys.argv[1] not in rules:
        sys.exit(__doc__)
    metadata = json.loads(pathlib.Path(sys.argv[2]).read_text())
    breaches = list(rules[sys.argv[1]](metadata))
    for breach in breaches:
        print(breach)
    sys.exit(1 if breaches else 0)


main()
