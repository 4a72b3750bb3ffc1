#!/bin/sh
# Runs the FF-A scenarios. In the initramfs this is /lib/tantalum/run-scenarios,
# called by init in test mode; by hand it takes names of scenarios:
#
#   run-scenarios                               all of them
#   run-scenarios direct_echo_64 relay_chain    only these
#
# The result is KTAP on the console. The exit status says only whether the
# scenarios could be started.
#
# Expects /proc and /sys to be mounted and the modules in $MODULES.
set -u
MODULES=${MODULES:-/lib/modules}

fail() {
	echo "run-scenarios: $*" >&2
	exit 1
}

# KTAP is printed by the kernel: a quiet console would hide it.
echo 7 >/proc/sys/kernel/printk

# The version is negotiated once in a boot. Was that done by a driver or a run
# before this one?
first=1
if [ -d /sys/module/ffa_module ] || [ -d /sys/module/tantalum_ffa_test ]; then
	first=0
fi

# Linux's FF-A driver comes and goes under the scenarios' control.
if [ -d /sys/module/ffa_module ]; then
	rmmod ffa_module || fail "cannot unload ffa_module: is a driver using it?"
fi

# The bus alone does not talk to the firmware.
if [ ! -d /sys/module/ffa_core ]; then
	insmod "$MODULES/ffa-core.ko" || fail "cannot load $MODULES/ffa-core.ko"
fi

# What was asked of the kernel, and which version the scenarios are to speak. Should pKVM not have come up, the scenarios find
# out: without it the firmware answers calls that pKVM would refuse.
pkvm=0
vm=0
read -r cmdline </proc/cmdline
version=
for word in $cmdline; do
	case $word in
		tantalum.ffa=1.1) version=0x10001 ;;
		tantalum.ffa=1.2) version=0x10002 ;;
		tantalum.ffa=*) fail "unknown $word; the scenarios speak FF-A 1.1 or 1.2" ;;
		tantalum.vm=*) vm=${word#*=} ;;
		kvm-arm.mode=protected) pkvm=1 ;;
		kvm-arm.mode=*) pkvm=0 ;;
	esac
done

if [ -d /sys/module/tantalum_ffa_test ]; then
	rmmod tantalum_ffa_test || fail "the scenarios are running already"
fi

only=$(echo "$*" | tr ' ' ',')
insmod "$MODULES/tantalum_ffa_test.ko" "pkvm=$pkvm" "vm=$vm" "first=$first" \
	"driver=$MODULES/ffa-module.ko" ${version:+"version=$version"} ${only:+"only=$only"} ||
	fail "cannot load $MODULES/tantalum_ffa_test.ko"
