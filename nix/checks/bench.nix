# The benchmarks, and the sizes of the image, against their budgets. On a clock that counts instructions a run repeats
# itself exactly, which is shown by three.
{ lib, sysroots, packages, ... }:
[
  (lib.build {
    name = "bench";
    sysroot = sysroots.qemu;
    inherit (packages) runner;
    image = packages.bl33-image;
    sizes = packages.size-report;
    expect = ../../tests/benchmarks/list.txt;
    budgets = ../../tests/benchmarks/budgets.txt;
    script = ''
      mkdir -p "$out"
      for number in 1 2 3; do
        "$runner/bin/runner" run --bare-metal --cpus 8 --image "$image" --expect "$expect" --accel icount \
          --append "bl33.benchmarks=1 bl33.version=10002" --name bench --out "$out/bench-$number"
        "$runner/bin/runner" bench --budgets "$budgets" --figures "$sizes/figures.txt" "$out/bench-$number" || true
        cmp "$out/bench-1/bench.json" "$out/bench-$number/bench.json"
      done
      cp "$sizes/size.txt" "$out/"
      cp "$out/bench-1/bench.xml" "$out/junit.xml"
    '';
  })
]
