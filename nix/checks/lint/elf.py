"""What the released SPMC's ELF shows: elf.py RULE ELF [POOLS] [--tools PREFIX] [--verbose]

  panics   no panic machinery is reachable from code of a logic crate; each breach names the function and the line
  stacks   how deep the stack gets from each entry point, and that it has room for that
  memory   how large the sections, the objects in them and the pools are; POOLS is `crates/spmc/pools.txt`, which says
           what the SPMC's state is made of

The call graph is read from the disassembly. What calls by a register cannot be followed:

- `panics` does not follow such a call, since it looks at each call of panic machinery wherever it is. Code that nobody
  calls was removed by the linker, so what is there counts as reachable.
- `stacks` takes every function whose address is stored or taken anywhere for a possible target, and lets such calls nest
  as deep as they do in `core::fmt`, which has nearly all of them: INDIRECT times.

A panic ends the machine, so what comes behind one is no part of a stack's depth; it is printed apart.
"""

import re
import subprocess
import sys

# Crates whose code does not panic on any input. What is inlined from `core` into them counts as theirs.
LOGIC = re.compile(r"/crates/(types|ffa|manifest|stage2|spmc|hal|vmm)/src/")

# Begins every road to a panic.
PANIC = re.compile(
    r"core::panicking::|core::(option|result|str|slice|cell)::.*(_fail(ed)?|panic_\w+)\b|rust_begin_unwind"
    r"|core::slice::index::slice_\w*fail|len_mismatch_fail|panic_explicit"
)

# Is code of the machine's crates, which was inlined into logic.
MACHINE = re.compile(r"^<?(tantalum_(aarch64|qemu_virt)|spmc)::")

MACHINE_FILES = re.compile(r"/crates/(aarch64|qemu-virt)/|/bin/")

# Is the Rust library's own code, which whoever it is inlined into answers for.
LIBRARY = re.compile(r"/library/|/rustc/|rust-core|rustlib")

# Calls of panic machinery that are known not to be reached: by the place of the innermost code, what it calls, and the
# reason. Logic crates have no unchecked operator of their own, clippy's `arithmetic_side_effects` denies it; so what is
# left of these are operators of libraries that were inlined.
PROVEN = [
    (r"/spin-[^/]*/src/mutex/ticket\.rs", r"add_overflow", "counts in 64 bits how often a lock was taken"),
    (r"/core/src/(iter|slice/iter|str/iter)", r"(add|sub|mul)_overflow", "counts elements that are in memory"),
    (r"/heapless-[^/]*/src/", r"add_overflow", "adds lengths of what is in memory"),
    (r"/fdt-[^/]*/src/", r".", "reads device trees only behind `manifest::validate`, see the fuzz targets"),
    (r"/crates/manifest/src/[a-z]*\.rs:0$", r"unwrap_failed|expect_failed", "is `fdt`'s, of which the line was lost"),
    (r"/core/src/ops/arith\.rs", r"(add|sub)_overflow", "is a library's operator, on lengths of what is in memory"),
    (r"/crates/\w+/src/\S*\.rs:\d+$", r"add_overflow", "is one of these that lost its place; clippy denies our own `+`"),
]

# The last resort: reports, and stops the machine.
HANDLER = "rust_begin_unwind"

# Bounds how often calls by register nest: a log line calls `fmt::write`, that an argument's `fmt`, that another
# argument's, and the innermost the console's `write_str`.
INDIRECT = 4

# Bounds how often a function is entered that calls itself by way of others. Ending a call chain may let go on what an
# interrupt had stopped, which may have to end too, and there is one of those; `fdt` descends into 8 levels of nodes,
# which `manifest::validate` sees to.
AGAIN = [(r"^fdt::|<fdt::", 8), (r".", 2)]

# Entry points by a pattern of their symbols, and what they are. Stacks are what lies above a guard page, for each CPU as
# much, and for the first one also what the linker script puts below.
FIRST, OTHER = r"^(_start|__text_start)$", r"^tantalum_warm_entry$"
CPUS, GUARD = 8, 0x1000


def stack_sizes(elf, tools):
    """Returns each kind of entry point by a pattern of its symbol, the bytes of its stack, and what it is."""
    symbols = {}
    for line in run(tools + "nm", "--demangle", "--print-size", elf).splitlines():
        row = re.match(r"^([0-9a-f]+)(?: ([0-9a-f]+))? \S (.*)$", line)
        if row:
            symbols[row[3].split("::")[-1]] = (int(row[1], 16), int(row[2] or "0", 16))
    stacks, size = symbols["STACKS"]
    each = size // CPUS
    below = stacks - symbols["__boot_stack_start"][0]
    return [
        (FIRST, below + each - GUARD, "the first CPU: boot, then events"),
        (OTHER, each - GUARD, "another CPU: events"),
    ]


def run(tool, *arguments, stdin=None):
    return subprocess.run([tool, *arguments], input=stdin, capture_output=True, text=True, check=True).stdout


class Function:
    def __init__(self, name, address):
        self.name = name
        self.address = address
        self.calls = []  # (address of the instruction, address of the callee)
        self.indirect = []
        self.frame = 0
        self.taken = set()


def number(text):
    return int(text.lstrip("#"), 0)


def read(elf, tools):
    """Every function of the ELF by its address."""
    functions = {}
    current = None
    pages = {}
    text = run(tools + "objdump", "--disassemble", "--demangle", "--no-show-raw-insn", elf)
    for line in text.splitlines():
        header = re.match(r"^([0-9a-f]+) <(.*)>:$", line)
        if header:
            address = int(header[1], 16)
            current = functions[address] = Function(header[2], address)
            pages = {}
            continue
        instruction = re.match(r"^\s*([0-9a-f]+):\s+(\S+)\s*(.*)$", line)
        if not instruction or current is None:
            continue
        at, name, operands = int(instruction[1], 16), instruction[2], instruction[3]
        target = re.search(r"(?:0x)?([0-9a-f]+) <", operands)
        if name == "bl" or name == "b" or name.startswith("b.") or name in ("cbz", "cbnz", "tbz", "tbnz"):
            if target:
                current.calls.append((at, int(target[1], 16), name == "bl"))
        elif name in ("blr", "blraaz", "blraa"):
            current.indirect.append(at)
        elif name == "sub" and (frame := re.match(r"sp, sp, #(0x[0-9a-f]+|\d+)(?:, lsl #(\d+))?$", operands)):
            current.frame += number(frame[1]) << int(frame[2] or 0)
        elif name in ("stp", "str") and (frame := re.search(r"\[sp, #-(0x[0-9a-f]+|\d+)\]!", operands)):
            current.frame += number(frame[1])
        elif name == "adr" and target:
            current.taken.add(int(target[1], 16))
        elif name == "adrp" and (page := re.match(r"(x\d+), (?:0x)?([0-9a-f]+)", operands)):
            pages[page[1]] = int(page[2], 16)
        elif name == "add" and (add := re.match(r"x\d+, (x\d+), #(0x[0-9a-f]+|\d+)$", operands)):
            if add[1] in pages:
                current.taken.add(pages[add[1]] + number(add[2]))
    # A branch within a function is none to another.
    starts = sorted(functions)
    ends = dict(zip(starts, starts[1:] + [1 << 64]))
    for function in functions.values():
        inside = range(function.address, ends[function.address])
        function.calls = [call for call in function.calls if call[2] or call[1] not in inside]
    return functions


def stored_addresses(elf, tools, functions):
    """Functions whose address lies in the data, or is computed somewhere."""
    stored = set()
    for function in functions.values():
        stored |= function.taken & functions.keys()
    for section in (".rodata", ".data", ".data.rel.ro", ".rela.dyn"):
        try:
            text = run(tools + "objdump", "--full-contents", "--section", section, elf)
        except subprocess.CalledProcessError:
            continue
        blob = b""
        for line in text.splitlines():
            row = re.match(r"^ [0-9a-f]+ ((?:[0-9a-f]{2,8} ?){1,4})", line)
            if row:
                blob += bytes.fromhex(row[1].replace(" ", ""))
        for at in range(0, len(blob) - 7, 8):
            stored.add(int.from_bytes(blob[at : at + 8], "little"))
    return stored & functions.keys()


def places(elf, tools, addresses):
    """The functions inlined at each address, the innermost first, with their lines."""
    text = "\n".join(hex(address) for address in addresses) + "\n"
    lines = run(
        tools + "addr2line", "-e", elf, "--inlines", "--functions", "--demangle", "--addresses", stdin=text
    ).splitlines()
    found = {}
    frames = None
    name = None
    for line in lines:
        if re.match(r"^0x[0-9a-f]+(: .*)?$", line):
            frames = found[int(line.split(":")[0], 16)] = []
            rest = line.split(": ", 1)
            name = rest[1] if len(rest) > 1 else None
        elif name is None:
            name = line
        else:
            # What has no line has line 0; GNU's tool writes a question mark.
            frames.append((name, re.sub(r":\?$", ":0", line)))
            name = None
    return found


def panics(elf, tools, verbose):
    functions = read(elf, tools)
    roads = {address for address, function in functions.items() if PANIC.search(function.name)}
    calls = {}
    for function in functions.values():
        if function.address in roads:
            continue
        for at, callee, _ in function.calls:
            if callee in roads:
                calls[at] = (function, functions[callee])
    found = places(elf, tools, sorted(calls))
    breaches, others = {}, {}
    proven = [0] * len(PROVEN)
    for at, (function, callee) in sorted(calls.items()):
        own = next((frame for frame in found.get(at, []) if LOGIC.search(frame[1])), None)
        if own is None:
            others.setdefault(function.name, set()).add(callee.name)
            continue
        name, line = own
        innermost = found[at][0]
        blamed = next((frame for frame in found[at] if not LIBRARY.search(frame[1])), own)
        if MACHINE.search(blamed[0]) or MACHINE_FILES.search(blamed[1]):
            others.setdefault(blamed[0], set()).add(callee.name)
            continue
        reason = next(
            (
                index
                for index, (place, to, _) in enumerate(PROVEN)
                for frame in (innermost, blamed)
                if re.search(place, frame[1].split(" (")[0]) and re.search(to, callee.name)
            ),
            None,
        )
        if reason is not None:
            proven[reason] += 1
            continue
        by = "" if innermost == own else f" through {innermost[0]} ({innermost[1]})"
        breaches.setdefault((name, line.split(" (")[0] + by), set()).add(callee.name)
    for (name, line), callees in sorted(breaches.items()):
        print(f"{name} ({line}) can panic, by {', '.join(sorted(callees))}")
    if verbose:
        for name, callees in sorted(others.items()):
            print(f"not of a logic crate: {name}, by {', '.join(sorted(callees))}")
    for (place, _, reason), count in zip(PROVEN, proven):
        print(f"taken as proven, {count} times: {place} {reason}")
    print(
        f"{len(functions)} functions, {len(calls)} calls of panic machinery: {sum(proven)} taken as proven, "
        f"{sum(map(len, others.values()))} outside of logic crates, {len(breaches)} places in them"
    )
    # Where there is none at all, it was not looked for in the right way.
    return not breaches and len(functions) > 50 and sum(proven) > 0


def stacks(elf, tools, verbose):
    functions = read(elf, tools)
    # Entry points begin with a stack of their own: their addresses are those of the image, and nobody's to call.
    entries = {address for address, function in functions.items() if re.search(f"{FIRST}|{OTHER}", function.name)}
    stored = stored_addresses(elf, tools, functions) - entries
    roads = {address for address, function in functions.items() if PANIC.search(function.name)}
    depths = {}
    cycles = set()

    def depth(address, level, path):
        """The bytes below the entry of a function, the way that takes most, and whether that depends on `path`."""
        if address in roads or address not in functions:
            return 0, (), False
        function = functions[address]
        times = path.count(address)
        if times:
            cycles.add(function.name)
            if times >= next(limit for pattern, limit in AGAIN if re.search(pattern, function.name)):
                return 0, (), True
        elif (address, level) in depths:
            return depths[address, level]
        path = path + (address,)
        best, depends = (0, ()), False
        for _, callee, is_call in function.calls:
            below, way, cut = depth(callee, level, path)
            depends |= cut
            # A jump to another function leaves its frame first.
            best = max(best, (below if is_call else max(0, below - function.frame), way))
        if function.indirect and level > 0:
            for callee in stored:
                below, way, cut = depth(callee, level - 1, path)
                depends |= cut
                best = max(best, (below, way))
        result = (function.frame + best[0], ((function.name, function.frame),) + best[1], depends)
        if not depends or not times and len(path) == 1:
            depths[address, level] = result
        elif not times:
            # What was cut short below was entered often enough on this way already.
            depths[address, level] = (result[0], result[1], False)
        return result

    good = True
    for pattern, size, what in stack_sizes(elf, tools):
        roots = [function for function in functions.values() if re.search(pattern, function.name)]
        if not roots:
            print(f"{what}: there is no {pattern}")
            good = False
        for root in roots:
            deepest, way, _ = depth(root.address, INDIRECT, ())
            fits = deepest <= size
            good &= fits
            print(f"{what}: {deepest} of {size} bytes{'' if fits else ': TOO DEEP'}")
            if verbose or not fits:
                for name, frame in way:
                    print(f"  {frame:6} {name}")
    handlers = [function for function in functions.values() if HANDLER in function.name]
    for handler in handlers:
        roads.discard(handler.address)
        print(f"a panic, behind that: {depth(handler.address, INDIRECT, ())[0]} bytes")
    for name in sorted(cycles):
        print(f"{name} calls itself by way of others")
    largest = sorted(functions.values(), key=lambda function: -function.frame)[:8]
    print("largest frames: " + ", ".join(f"{function.name} {function.frame}" for function in largest))
    return good


# The pools of the SPMC by the ends of their symbols. What `SPMC` is made of, `crates/spmc/pools.txt` says.
POOLS = [
    (r"spmc::PLATFORM", "stage-2 tables, and the board"),
    (r"stage1::TABLES", "stage-1 tables"),
    (r"context::SLOTS", "registers of execution contexts"),
    (r"layout::STACKS", "stacks, with their guard pages"),
    (r"layout::EMERGENCY_STACKS", "stacks for what goes wrong"),
    (r"spmc::SPMC", None),
]

# Is the lock around the SPMC's state.
LOCK = 8


def print_pools(objects, written):
    """Prints the bytes of each pool, and says whether they are all there and what is written of them is so."""
    good, total = True, 0
    for pattern, what in POOLS:
        sizes = [size for size, name in objects if re.search(pattern + r"(::h[0-9a-f]{16})?$", name)]
        if len(sizes) != 1:
            print(f"there are {len(sizes)} objects {pattern}")
            good = False
            continue
        total += sizes[0]
        if what:
            print(f"pool {sizes[0]:8} bytes {what}")
            continue
        # What is written is for numbers of partitions; the symbol says which this image is built for.
        wholes = [count for count, size, name in written if name == "whole" and size + LOCK == sizes[0]]
        parts = [(size, name) for count, size, name in written if [count] == wholes and name != "whole"]
        for size, name in parts:
            print(f"pool {size:8} bytes {name}")
        if sum(size for size, _ in parts) + LOCK != sizes[0]:
            print(f"the SPMC's state has {sizes[0]} bytes, a lock of {LOCK} among them: that is not written down")
            good = False
    print(f"     {total:8} bytes in all pools")
    return good


def memory(elf, tools, verbose, pools):
    sections = run(tools + "objdump", "--section-headers", elf)
    for line in sections.splitlines():
        row = re.match(r"^\s*\d+\s+(\.(?!debug|symtab|strtab|shstrtab|comment)\S+)\s+([0-9a-f]{8})\s+([0-9a-f]{8,16})", line)
        if row and int(row[2], 16):
            print(f"{row[1]:24} {int(row[2], 16):8} bytes at {int(row[3], 16):#x}")
    objects = []
    for line in run(tools + "nm", "--print-size", "--demangle", "--defined-only", elf).splitlines():
        row = re.match(r"^[0-9a-f]+ ([0-9a-f]+) [bBdD] (.*)$", line)
        if row:
            objects.append((int(row[1], 16), row[2]))
    for size, name in sorted(objects, reverse=True):
        if size >= 1024:
            print(f"  {size:8} bytes {name}")
    with open(pools, encoding="utf-8") as file:
        rows = [line.rstrip("\n").split(maxsplit=2) for line in file]
    written = [(int(count), int(size), name) for count, size, name in rows]
    return print_pools(objects, written)


def main():
    arguments = sys.argv[1:]
    verbose = "--verbose" in arguments
    tools = "aarch64-linux-gnu-"
    if "--tools" in arguments:
        at = arguments.index("--tools")
        tools = arguments[at + 1]
        del arguments[at : at + 2]
    arguments = [argument for argument in arguments if not argument.startswith("--")]
    rules = {"panics": (panics, 0), "stacks": (stacks, 0), "memory": (memory, 1)}
    rule, more = rules.get(arguments[0] if arguments else "", (None, 0))
    if rule is None or len(arguments) != 2 + more:
        sys.exit(__doc__)
    sys.setrecursionlimit(10000)
    sys.exit(0 if rule(arguments[1], tools, verbose, *arguments[2:]) else 1)


main()
