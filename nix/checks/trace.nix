# A traced run: what one scenario does is in the trace, step by step, and in the chart of its report.
{ lib, sysroots, packages, cases, ... }:

let
  inherit (packages) runner;
  image = packages.image-trace;
in
[
  (lib.build {
    name = "trace-run";
    sysroot = sysroots.qemu;
    inherit runner image cases;
    expect = ../../tests/scenarios/list.txt;
    chain = ./trace-relay.txt;
    script = ''
      "$runner/bin/runner" run --trace --only relay_chain --image "$image" --expect "$expect" --accel icount \
        --name trace-run --out run || true

      . "$cases"
      # The steps on a CPU: who speaks to whom, by which call, between which endpoints.
      steps() {
        awk -v cpu="$1" '
          $2 == cpu {
            route = match($0, /0x[0-9a-f]+ -> 0x[0-9a-f]+/) ? substr($0, RSTART, RLENGTH) : "-"
            print $3, $4, $5, $6, route
          }' run/trace.txt
      }
      # Each message is sent many times, and the normal world's interrupts come between the steps of few.
      passes() {
        "$runner/bin/runner" sum run/junit.xml
      }
      follows() {
        local cpu
        for cpu in 0 1 2 3; do
          steps "cpu$cpu" > steps
          tr '\n' '|' < steps | grep -qF "$(tr '\n' '|' < "$chain")" || { cat steps; exit 1; }
        done
      }
      ordered() {
        grep -v '^#' run/trace.txt | awk '$1 < last { print; failed = 1 } { last = $1 } END { exit failed || NR < 1000 }'
      }
      whole() {
        grep -q '^# [0-9]* records of 4 CPUs$' run/trace.txt
        test "$(grep -c 'SPMC -> SPMC *CPU started$' run/trace.txt)" -eq 4
      }
      again() {
        "$runner/bin/runner" trace ./run | cmp - run/trace.txt
      }
      drawn() {
        local line
        # The arrows in the chart are the end of the trace, each with its words.
        test "$(grep -c '^<li class="cpu[0-9]' run/report.html)" -eq 400
        sed -n 's/^<li class="cpu.*<\/svg><b>\([^<]*\)<.*/\1/p' run/report.html > drawn
        tail -n 400 run/trace.txt | awk '{ print $6 }' | diff - drawn
        grep -q '<b>normal</b><b>SPMC</b><b>echo</b><b>relay</b></div>' run/report.html
      }
      suite trace
      check "the scenario passes in a traced boot" passes
      check "a message goes through relay to echo and back, on each CPU" follows
      check "times only grow" ordered
      check "every CPU has a ring, from its start on" whole
      check "the trace reads the same from its report" again
      check "the chart has the last steps" drawn
      suite_end
      mkdir -p "$out"
      cp run/report.html run/trace.txt run/console.log "$out/"
    '';
  })
]
