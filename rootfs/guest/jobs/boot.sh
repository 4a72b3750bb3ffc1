# shellcheck shell=sh
# What the machine is made of.
#   tantalum.cpus=N             how many CPUs there shall be
#   tantalum.devices=NAME,NAME  which of blk, net, console and rng, beside the PL011 and PL031

cpus=$(option cpus 1)
expect $LINENO "the number of CPUs online" "$(nproc)" "$cpus"
last=$((cpus - 1))
all=0
[ "$last" -eq 0 ] || all="0-$last"
expect $LINENO "the set of CPUs online" "$(file /sys/devices/system/cpu/online)" "$all"
expect $LINENO "the set of CPUs present" "$(file /sys/devices/system/cpu/present)" "$all"
# Each of them runs something: its own number, by a process that may run there only.
cpu=0
while [ "$cpu" -lt "$cpus" ]; do
	ran=$(taskset $((1 << cpu)) sh -c 'cut -d " " -f 39 /proc/self/stat')
	expect $LINENO "the CPU of a process bound to CPU $cpu" "$ran" "$cpu"
	cpu=$((cpu + 1))
done

expect $LINENO "the console" "$(file /sys/class/tty/console/active)" ttyAMA0
expect $LINENO "the clock" "$(file /sys/class/rtc/rtc0/name)" "rtc-pl031 9010000.pl031"

for device in $(option devices '' | tr , ' '); do
	case $device in
		blk) found=$(file /sys/block/vda/size); expect $LINENO "vda has sectors" "$((found > 0))" 1 ;;
		net) expect $LINENO "carrier of eth0" "$(file /sys/class/net/eth0/carrier)" 1 ;;
		console) expect $LINENO "hvc0 is a terminal" "$([ -c /dev/hvc0 ] && echo yes)" yes ;;
		rng)
			found=$(file /sys/class/misc/hw_random/rng_current)
			expect $LINENO "the random source" "${found%.*}" virtio_rng
			;;
		*) fail $LINENO "unknown device $device in tantalum.devices" ;;
	esac
done
