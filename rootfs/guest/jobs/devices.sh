# shellcheck shell=sh
# Each device does its work. Takes tantalum.devices as the job boot does.

# interrupts DEVICE: how many a virtio device has raised so far.
interrupts() {
	awk -v name="$1" '$NF == name { for (i = 2; $i ~ /^[0-9]+$/; i++) sum += $i } END { print sum + 0 }' \
		/proc/interrupts
}

for device in $(option devices '' | tr , ' '); do
	case $device in
		blk)
			# What is read past the page cache is what is read through it.
			cached=$(dd if=/dev/vda bs=64k count=16 2>/dev/null | sha256sum)
			direct=$(dd if=/dev/vda bs=64k count=16 iflag=direct 2>/dev/null | sha256sum)
			expect $LINENO "the sum of the first MiB, read directly" "$direct" "$cached"
			name=$(basename "$(readlink /sys/block/vda/device)")
			before=$(interrupts "$name")
			dd if=/dev/vda of=/dev/null bs=4k count=64 iflag=direct 2>/dev/null
			after=$(interrupts "$name")
			expect $LINENO "interrupts for 64 requests came" "$((after > before))" 1
			;;
		net)
			expect $LINENO "an address" "$(ifconfig eth0 | grep -c 'inet addr')" 1
			;;
		console)
			succeeds $LINENO "writing to hvc0" sh -c 'echo "a line for hvc0" >/dev/hvc0'
			;;
		rng)
			one=$(dd if=/dev/hwrng bs=64 count=1 2>/dev/null | sha256sum)
			two=$(dd if=/dev/hwrng bs=64 count=1 2>/dev/null | sha256sum)
			zero=$(dd if=/dev/zero bs=64 count=1 2>/dev/null | sha256sum)
			expect $LINENO "a block of the random source is all zero" "$([ "$one" = "$zero" ] && echo yes)" ""
			expect $LINENO "two blocks of the random source are equal" "$([ "$one" = "$two" ] && echo yes)" ""
			;;
	esac
done

# The clock runs, and its alarm interrupts.
started=$(file /sys/class/rtc/rtc0/since_epoch)
succeeds $LINENO "two alarms of the clock" alarm 2
now=$(file /sys/class/rtc/rtc0/since_epoch)
expect $LINENO "the clock has gone on by two seconds or more" "$((now - started >= 2))" 1
