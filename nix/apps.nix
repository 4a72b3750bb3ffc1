# What `nix run` starts. Each is a small script that enters a sysroot on the user's machine, so it needs nothing
# there but a kernel: not QEMU, not a toolchain, not even the machine's C library.
{ lib, sysroots, packages, vendors }:
let
  inherit (packages) image image-trace bl33-image guest-image-memory runner rust-core model fuzz;

  # The head of every script: `enter COMMAND...` runs it in the sysroot, with the user's files where they are.
  # Network and processes stay the machine's own: this is for the tools' sake, not a cage.
  enter = sysroot: ''
    #!/bin/sh
    set -eu
    sysroot=${sysroot}
    libraries=$sysroot/usr/lib/x86_64-linux-gnu
    enter() {
      # The user's own files, wherever they lie, at the same place; the tools' /usr and /etc are the sysroot's.
      set -- --setenv PATH /usr/bin:/usr/sbin "$@"
      for place in /*; do
        case $place in
          /bin | /dev | /etc | /lib* | /proc | /sbin | /usr | /nix) ;;
          *) if [ -d "$place" ] && [ ! -L "$place" ]; then set -- --bind "$place" "$place" "$@"; fi ;;
        esac
      done
      exec "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" "$sysroot/usr/bin/bwrap" \
        --unshare-user --die-with-parent \
        --ro-bind "$sysroot/usr" /usr --ro-bind "$sysroot/etc" /etc \
        --symlink usr/bin /bin --symlink usr/sbin /sbin --symlink usr/lib /lib --symlink usr/lib64 /lib64 \
        --ro-bind /nix /nix --dev-bind /dev /dev --bind /proc /proc --unsetenv LD_LIBRARY_PATH --setenv LC_ALL C.UTF-8 \
        "$@"
    }
  '';

  app = name: sysroot: text: lib.build {
    inherit name;
    sysroot = sysroots.base;
    text = enter sysroot + text;
    script = ''
      mkdir -p "$out/bin"
      printf '%s' "$text" > "$out/bin/$name"
      chmod 755 "$out/bin/$name"
    '';
  };

  # Cargo in the shell: the pinned crates and the target's libraries, as in the builds.
  cargoHome = lib.build {
    name = "cargo-home";
    sysroot = sysroots.base;
    core = rust-core;
    inherit (rust-core) target;
    vendors = builtins.attrValues vendors;
    script = ''
      mkdir -p "$out/vendor"
      for vendor in $vendors; do
        for crate in "$vendor"/*/; do
          ln -sfn "$crate" "$out/vendor/"
        done
      done
      cat > "$out/config.toml" <<TOML
      [source.crates-io]
      replace-with = "vendored"
      [source.vendored]
      directory = "$out/vendor"
      [target.$target]
      linker = "ld.lld"
      rustflags = ["--sysroot=$core"]
      TOML
    '';
  };

  # What bench-linux boots on the hypervisor.
  measured = cpus: packages.memory-image.override {
    inherit cpus;
    jobs = "boot tantalum.cpus=${toString cpus} tantalum.devices=net,console,rng";
  };

  # Makes the file of --disk, if there is none yet.
  keptDisk = image: ''
    file=
    for word; do
      if [ "$file" = next ]; then file=$word; break; fi
      if [ "$word" = --disk ]; then file=next; fi
    done
    if [ -n "$file" ] && [ ! -e "$file" ]; then
      cp ${image}/disk.img "$file"
      chmod u+w "$file"
    fi
  '';
in
{
  default = app "tantalum-run" sysroots.qemu ''
    # Boot the image and run the scenarios: tantalum-run [RUNNER OPTION...]
    enter ${runner}/bin/runner run --image ${image} --expect ${../tests/scenarios/list.txt} "$@"
  '';

  trace = app "tantalum-trace" sysroots.qemu ''
    # Boot an image that records, run the scenarios and print the trace: tantalum-trace [--last N] [RUNNER OPTION...]
    enter ${runner}/bin/runner trace run --image ${image-trace} --expect ${../tests/scenarios/list.txt} "$@"
  '';

  bench = app "tantalum-bench" sysroots.qemu ''
    # Count how many instructions calls take, and hold that against the budgets: tantalum-bench [FOLDER]
    out=''${1-}
    [ -n "$out" ] || out=$(mktemp -d "''${TMPDIR:-/tmp}/tantalum-bench.XXXXXX")
    (enter ${runner}/bin/runner run --bare-metal --cpus 8 --image ${bl33-image} --accel icount --name bench \
      --expect ${../tests/benchmarks/list.txt} --append bl33.benchmarks=1 --append bl33.version=10002 --out "$out")
    status=0
    (enter ${runner}/bin/runner bench --budgets ${../tests/benchmarks/budgets.txt} \
      --figures ${packages.size-report}/figures.txt "$out") || status=$?
    echo "bench: bench.json, bench.txt and bench.svg are in $out"
    exit "$status"
  '';

  model = app "tantalum-model" sysroots.base ''
    # Compare the SPMC with its reference model in random steps: tantalum-model STEPS [SEED] | replay FILE
    enter ${model}/bin/tantalum-model "$@"
  '';

  fuzz = app "tantalum-fuzz" sysroots.base ''
    # Run a fuzz target: tantalum-fuzz list | TARGET SECONDS [SEED] [--keep FOLDER] | replay TARGET FILE...
    case ''${1-} in
      "" | list | replay | merge) enter ${fuzz}/bin/tantalum-fuzz "$@" ;;
      *) enter ${fuzz}/bin/tantalum-fuzz "$@" --corpus "${../hypervisor/fuzz/corpus}/$1" ;;
    esac
  '';

  bench-linux = app "tantalum-bench-linux" sysroots.qemu ''
    # How long Linux takes to its first process, by a clock that counts instructions: tantalum-bench-linux
    # Waiting counts too, since each CPU's time is the same clock's.
    out=$(mktemp -d "''${TMPDIR:-/tmp}/tantalum-bench-linux.XXXXXX")
    # boot NAME CPUS OPTION...
    boot() {
      name=$1 cpus=$2
      shift 2
      (enter ${runner}/bin/runner run "$@" --accel icount --name "$name" --cpus "$cpus" \
        --expect ${../tests/benchmarks/linux.txt} --out "$out/$name") > "$out/$name.log" || {
        cat "$out/$name.log"
        exit 1
      }
      microseconds=$(sed -n 's/.*\[ *\([0-9]*\)\.\([0-9]*\)\] tantalum-init: userspace is up$/\1\2/p' \
        "$out/$name/console.log" | sed 's/^0*//')
      # An instruction takes 4 ns.
      echo "$name: $microseconds us, $((microseconds * 250)) instructions"
    }
    for cpus in 1 4; do
      boot "no-hypervisor-$cpus" "$cpus" --guest --memory 512M --image ${guest-image-memory} \
        --append "tantalum.job=boot tantalum.cpus=$cpus tantalum.devices=net,console,rng"
    done
    boot hypervisor-1 1 --vmm --image ${measured 1}
    boot hypervisor-4 4 --vmm --image ${measured 4}
  '';

  linux = app "tantalum-linux" sysroots.qemu ''
    # Linux on the hypervisor, with four CPUs, to a prompt: tantalum-linux [--disk FILE] [RUNNER OPTION...]
    # FILE keeps what is written to the disk, and is made if it is not there.
    ${keptDisk packages.linux-image}
    enter ${runner}/bin/runner console --vmm --image ${packages.linux-image} "$@"
  '';

  stress = app "tantalum-stress" sysroots.qemu ''
    # Forks, disk, network, timers and computing in Linux on the hypervisor, for half an hour of its time:
    # tantalum-stress [RUNNER OPTION...]
    enter ${runner}/bin/runner run --vmm --accel icount --name stress --limit 86400 --quiet-limit 600 \
      --image ${packages.linux-image.override { jobs = "stress tantalum.stress=1800"; }} \
      --expect ${../tests/scenarios/stress.txt} "$@"
  '';

  vms = app "tantalum-vms" sysroots.qemu ''
    # Two Linux VMs on one switch, which ping each other and exchange data: tantalum-vms [RUNNER OPTION...]
    enter ${runner}/bin/runner run --vmm --image ${packages.vms-image} --name vms \
      --expect ${../tests/scenarios/vms.txt} "$@"
  '';

  fullstack = app "tantalum-fullstack" sysroots.qemu ''
    # TF-A, the SPMC with its partitions, the hypervisor, and Linux to a prompt:
    # tantalum-fullstack [--disk FILE] [RUNNER OPTION...]
    ${keptDisk packages.fullstack-image}
    enter ${runner}/bin/runner console --fullstack --image ${packages.fullstack-image} "$@"
  '';

  console = app "tantalum-console" sysroots.qemu ''
    # Boot the image to a BusyBox prompt: tantalum-console [RUNNER OPTION...]
    enter ${runner}/bin/runner console --image ${image} "$@"
  '';

  soak = app "tantalum-soak" sysroots.qemu ''
    # Many direct messages from four CPUs at once, while interrupts of both worlds come:
    # tantalum-soak [MESSAGES] [RUNNER OPTION...]
    messages=100000
    case ''${1-} in
      [1-9]*) messages=$1; shift ;;
    esac
    out=$(mktemp -d "''${TMPDIR:-/tmp}/tantalum-soak.XXXXXX")
    status=0
    (enter ${runner}/bin/runner run --bare-metal --cpus 8 --image ${bl33-image} --accel icount --name soak \
      --expect ${../tests/scenarios/soak.txt} --append "bl33.version=10002 bl33.soak=$messages" --limit 86400 \
      --out "$out" "$@") || status=$?
    # What was counted, unless the reports went elsewhere.
    if [ -f "$out/console.log" ]; then grep -F 'soak: ' "$out/console.log" || true; fi
    echo "soak: reports are in $out unless --out says otherwise"
    exit "$status"
  '';

  size = app "tantalum-size" sysroots.base ''
    # What the SPMC's image consists of: tantalum-size
    cat ${packages.size-report}/size.txt
  '';

  shell = app "tantalum-shell" sysroots.shell ''
    # The pinned tools, for working on the code: tantalum-shell [COMMAND [ARGUMENT...]]
    # Nothing of the project itself is needed but rust-core, so this works while the code does not build.
    cache=''${TANTALUM_CACHE:-''${XDG_CACHE_HOME:-''${HOME:-/root}/.cache}/tantalum}
    mkdir -p "$cache/cargo-home"
    cp -f ${cargoHome}/config.toml "$cache/cargo-home/config.toml"
    # Built with other tools than the machine's, so kept apart from what those leave in target/.
    export CARGO_HOME="$cache/cargo-home" CARGO_TARGET_DIR="''${CARGO_TARGET_DIR:-$cache/target}" CARGO_NET_OFFLINE=true
    if [ $# -eq 0 ]; then
      echo 'Tantalum: gcc and aarch64-linux-gnu-gcc, cargo, qemu-system-aarch64, gdb-multiarch, shellcheck.' >&2
      echo "          cargo's output goes to $CARGO_TARGET_DIR; leave with exit." >&2
      export PS1='[tantalum] \w \$ '
      set -- bash --norc
    fi
    enter "$@"
  '';
}
