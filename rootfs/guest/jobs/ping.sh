# shellcheck shell=sh
# The peer answers every packet, small ones and such as fill a frame.
#   tantalum.peer=ADDRESS

peer=$(option peer '')
# It may still be booting.
succeeds $LINENO "the peer $peer comes up" reach "$peer"
for size in 16 56 1472; do
	answer=$(ping -c 20 -i 0.1 -s "$size" "$peer" | grep 'packets transmitted' || true)
	expect $LINENO "20 packets of $size bytes" "$answer" \
		"20 packets transmitted, 20 packets received, 0% packet loss"
done
succeeds $LINENO "a meeting with the peer" transfer "$peer" 4096
