"""Says what the SPMC's image consists of.

Arguments: the output of `nm -S -C`, that of `size -A`, the size of the raw binary, and where the figures go that have a
budget. The report goes to standard output.
"""

import collections
import re
import sys

CRATE = re.compile(r"(tantalum_\w+|core|spmc|heapless|spin|fdt|log|arm_gic|arm_pl011_uart|compiler_builtins|uuid)::")
# Statics by what they are for.
PURPOSES = [
    ("stacks", ("STACKS", "EMERGENCY_STACKS")),
    ("tables of stage 1", ("stage1::TABLES",)),
    ("pool of tables of stage 2, and the board", ("spmc::PLATFORM",)),
    ("contexts", ("context::SLOTS",)),
    ("the SPMC's state", ("spmc::SPMC",)),
]


def symbols(path):
    """Yields address-independent facts of each symbol: its size, its kind, its name."""
    with open(path, encoding="utf-8") as file:
        for line in file:
            parts = line.rstrip("\n").split(" ", 3)
            if len(parts) == 4:
                yield int(parts[1], 16), parts[2], parts[3]


def sections(path):
    """Returns the size of each section that has memory."""
    found = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            parts = line.split()
            if len(parts) == 3 and parts[0].startswith(".") and parts[2] != "0":
                found[parts[0]] = int(parts[1])
    return found


def table(title, rows):
    """Prints sizes, the largest first."""
    print(title)
    for name, size in sorted(rows, key=lambda row: (-row[1], row[0])):
        print(f"  {size:>8}  {name}")
    print()


def main():
    """Writes the report and the figures."""
    symbol_file, section_file, binary, figure_file = sys.argv[1:]
    all_symbols = list(symbols(symbol_file))
    all_sections = sections(section_file)
    functions = [(name, size) for size, kind, name in all_symbols if kind in "tTwW"]
    crates = collections.Counter()
    for name, size in functions:
        match = CRATE.search(name)
        crates[match.group(1) if match else "assembly and others"] += size
    memory = collections.Counter()
    for size, kind, name in all_symbols:
        if kind in "bBdD":
            purpose = next((what for what, ends in PURPOSES if name.endswith(ends)), "other statics")
            memory[purpose] += size
    static = sum(size for name, size in all_sections.items() if name not in (".text", ".fp_text", ".rodata"))

    print(f"spmc.bin: {binary} bytes; static memory beside its code and constants: {static} bytes\n")
    table("Sections", all_sections.items())
    table("Static memory by its purpose", memory.items())
    table("Code by crate", crates.items())
    table("The ten largest functions", sorted(functions, key=lambda row: -row[1])[:10])
    with open(figure_file, "w", encoding="utf-8") as file:
        for name, size in (("spmc_image", binary), ("static_memory_3_partitions", static)):
            file.write(f"# {name}: first {size}, steady {size} bytes\n")


main()
