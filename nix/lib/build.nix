# lib.build { name, sysroot, script, ... }: run a bash script inside a sysroot.
#
# The script starts in the empty directory /build and writes $out. Every other attribute becomes an environment
# variable, as usual with derivations. Outputs are reproducible when the script's are: paths, time, locale and
# user are the same on every machine.
{ system, seed }:
{ name, sysroot, script, ... }@attrs:
derivation (attrs // {
  inherit system seed;
  builder = "${seed}/busybox";
  args = [ "sh" ./enter.sh ];
  # As a file: scripts may be longer than one environment variable may be.
  passAsFile = [ "script" ];
})
