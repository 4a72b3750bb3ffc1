// Usage: alarm COUNT
//
// Waits for so many update interrupts of the real-time clock. The PL031 has none of its own: Linux sets its alarm
// to the next second each time, so each is an alarm that went off.
#include <fcntl.h>
#include <linux/rtc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int count = argc == 2 ? atoi(argv[1]) : 0;
	int rtc = open("/dev/rtc0", O_RDONLY);

	if (count < 1) {
		fprintf(stderr, "usage: alarm COUNT\n");
		return 2;
	}
	if (rtc < 0 || ioctl(rtc, RTC_UIE_ON, 0) < 0) {
		perror("alarm: /dev/rtc0");
		return 1;
	}
	while (count-- > 0) {
		struct pollfd wait = { .fd = rtc, .events = POLLIN };
		unsigned long data;

		if (poll(&wait, 1, 10000) != 1) {
			fprintf(stderr, "alarm: no interrupt for 10 s\n");
			return 1;
		}
		if (read(rtc, &data, sizeof(data)) != sizeof(data)) {
			perror("alarm: reading /dev/rtc0");
			return 1;
		}
		if (!(data & RTC_UF)) {
			fprintf(stderr, "alarm: an interrupt of another kind: %#lx\n", data);
			return 1;
		}
	}
	return ioctl(rtc, RTC_UIE_OFF, 0) < 0;
}
