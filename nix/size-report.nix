# What the SPMC's image consists of: sections, memory by its purpose, code by crate, the largest functions.
# Out: size.txt, for people; figures.txt, in the form that `runner bench` reads
{ lib, sysroots, spmc }:

lib.build {
  name = "size-report";
  sysroot = sysroots.cc;
  inherit spmc;
  report = ./size-report.py;
  script = ''
    mkdir -p "$out"
    aarch64-linux-gnu-nm -S -C --defined-only "$spmc/spmc.elf" > symbols
    aarch64-linux-gnu-size -A "$spmc/spmc.elf" > sections
    python3 "$report" symbols sections "$(stat -c %s "$spmc/spmc.bin")" "$out/figures.txt" > "$out/size.txt"
    cat "$out/size.txt"
  '';
}
