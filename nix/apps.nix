# What `nix run` starts. Each is a small script that enters a sysroot on the user's machine, so it needs nothing
# there but a kernel: not QEMU, not a toolchain, not even the machine's C library.
{ lib, sysroots, packages, vendors }:
let
  inherit (packages) image image-trace bl33-image runner rust-core model fuzz;

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
    # Count how many instructions calls take: tantalum-bench [RUNNER OPTION...]
    enter ${runner}/bin/runner run --bare-metal --cpus 8 --image ${bl33-image} --accel icount \
      --expect ${../tests/benchmarks/list.txt} --name bench --append bl33.benchmarks=1 --append bl33.version=10002 "$@"
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
