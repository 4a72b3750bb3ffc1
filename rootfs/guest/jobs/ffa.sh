# shellcheck shell=sh
# The FF-A driver finds what the hypervisor offers.
#   tantalum.ffa=none|VERSION

loaded=no
if insmod /lib/modules/ffa-core.ko && insmod /lib/modules/ffa-module.ko; then
	loaded=yes
fi
version=$(dmesg | sed -n 's/.*ARM FF-A: Firmware version \([0-9.]*\) found/\1/p' | tail -n 1)
expect $LINENO "the version of FF-A" "${version:-none}" "$(option ffa none)"
note "driver loaded: $loaded"
