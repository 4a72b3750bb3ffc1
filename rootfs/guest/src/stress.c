// Usage: stress SECONDS DIRECTORY
//
// Works on everything at once for so long: processes, files in DIRECTORY, TCP over the loopback, timers, computing on
// every CPU. Each worker checks its own results and counts what it has done. The watchdog looks every second: a
// worker whose count has not moved for LIMIT seconds has stalled, and so has the machine if the second was not one.
// It says every PROGRESS seconds that all is well.
#include "stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// By when a worker has moved, on a machine that has too much to do.
#define LIMIT 10
#define PROGRESS 10
#define CHUNK 65536
#define MOST 16

// What workers and the watchdog share.
struct board {
	atomic_ulong count[MOST];
	// The longest that a timer was late, in microseconds.
	atomic_ulong latest;
};

static struct board *board;

static void die(const char *who, const char *what)
{
	fprintf(stderr, "stress: %s: %s: %s\n", who, what, strerror(errno));
	exit(1);
}

static void wrong(const char *who, const char *what)
{
	fprintf(stderr, "stress: %s: %s\n", who, what);
	exit(1);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void doze(long microseconds)
{
	struct timespec time = { .tv_sec = microseconds / 1000000, .tv_nsec = microseconds % 1000000 * 1000 };

	nanosleep(&time, NULL);
}

static void done(int slot)
{
	atomic_fetch_add(&board->count[slot], 1);
}

// Children that write to memory of their own, and end with a status that is checked.
static void fork_worker(int slot, const char *directory)
{
	(void)directory;
	for (int turn = 0;; turn = (turn + 1) & 0x7f) {
		int status;
		pid_t child = fork();

		if (child < 0)
			die("fork", "fork");
		if (child == 0) {
			unsigned char *memory = malloc(CHUNK);

			memset(memory, turn, CHUNK);
			_exit(memory[CHUNK - 1]);
		}
		if (waitpid(child, &status, 0) != child)
			die("fork", "wait");
		if (!WIFEXITED(status) || WEXITSTATUS(status) != turn)
			wrong("fork", "a child ended in another way than it should");
		done(slot);
	}
}

// A file is written, brought to the disk, read again and compared.
static void disk_worker(int slot, const char *directory)
{
	static unsigned char data[CHUNK], got[CHUNK];
	char path[256];

	snprintf(path, sizeof(path), "%s/stress.%d", directory, slot);
	for (uint64_t turn = 1;; turn++) {
		struct stream stream;
		int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

		if (file < 0)
			die("disk", path);
		stream_start(&stream, turn);
		for (int chunk = 0; chunk < 16; chunk++) {
			stream_fill(&stream, data, CHUNK);
			if (write(file, data, CHUNK) != CHUNK)
				die("disk", "write");
		}
		if (fsync(file) < 0)
			die("disk", "fsync");
		// The pages go, so that they are read from the disk.
		posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
		if (lseek(file, 0, SEEK_SET) != 0)
			die("disk", "lseek");
		stream_start(&stream, turn);
		for (int chunk = 0; chunk < 16; chunk++) {
			stream_fill(&stream, data, CHUNK);
			if (read(file, got, CHUNK) != CHUNK)
				die("disk", "read");
			if (memcmp(data, got, CHUNK) != 0)
				wrong("disk", "read something else than was written");
		}
		close(file);
		done(slot);
	}
}

static void echo(int from)
{
	unsigned char data[4096];
	ssize_t count;

	while ((count = recv(from, data, sizeof(data), 0)) > 0)
		if (send(from, data, count, MSG_NOSIGNAL) != count)
			break;
	_exit(0);
}

// Messages to an echo over TCP, through the whole stack of the network.
static void network_worker(int slot, const char *directory)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	(void)directory;
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &length) < 0 || listen(listener, 4) < 0)
		die("network", "listen");
	for (uint64_t turn = 1;; turn++) {
		unsigned char data[4096], got[4096];
		struct stream stream;
		int status, to = socket(AF_INET, SOCK_STREAM, 0);
		pid_t child = fork();

		if (child < 0)
			die("network", "fork");
		if (child == 0) {
			close(to);
			echo(accept(listener, NULL, NULL));
		}
		if (connect(to, (struct sockaddr *)&address, sizeof(address)) < 0)
			die("network", "connect");
		stream_start(&stream, turn);
		for (int message = 0; message < 64; message++) {
			stream_fill(&stream, data, sizeof(data));
			if (send(to, data, sizeof(data), MSG_NOSIGNAL) != sizeof(data))
				die("network", "send");
			if (recv(to, got, sizeof(got), MSG_WAITALL) != sizeof(got))
				die("network", "receive");
			if (memcmp(data, got, sizeof(data)) != 0)
				wrong("network", "an echo is something else than what was sent");
		}
		close(to);
		if (waitpid(child, &status, 0) != child || status != 0)
			wrong("network", "the echo failed");
		done(slot);
	}
}

// Short sleeps of many lengths, and how late they end.
static void timer_worker(int slot, const char *directory)
{
	(void)directory;
	for (long turn = 0;; turn++) {
		long length = 100 + turn * 7919 % 20000;
		double late, began = now();

		doze(length);
		late = now() - began - (double)length / 1e6;
		if (late < 0)
			wrong("timers", "a sleep ended early");
		if (late * 1e6 > (double)atomic_load(&board->latest))
			atomic_store(&board->latest, (unsigned long)(late * 1e6));
		done(slot);
	}
}

// Computing that has one right result, in registers of all kinds, a third of the time.
static void compute_worker(int slot, const char *directory)
{
	uint64_t first = 0;
	double first_sum = 0;

	(void)directory;
	for (;;) {
		uint64_t state = 0x123456789;
		double sum = 0;
		double began = now();

		for (int step = 0; step < 100000; step++) {
			state ^= state << 13;
			state ^= state >> 7;
			state ^= state << 17;
			sum += (double)(state >> 40) * 0.5;
		}
		if (first == 0) {
			first = state;
			first_sum = sum;
		}
		if (state != first || sum != first_sum)
			wrong("compute", "another result than before");
		done(slot);
		doze((long)((now() - began) * 2e6));
	}
}

static const struct {
	const char *name;
	void (*run)(int slot, const char *directory);
} kinds[] = {
	{ "forks", fork_worker }, { "files", disk_worker },	  { "connections", network_worker },
	{ "sleeps", timer_worker }, { "computations", compute_worker },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

// Starts a worker, which ends when the watchdog does.
static pid_t start(int slot, size_t kind, const char *directory)
{
	pid_t parent = getpid(), child = fork();

	if (child < 0)
		die("watchdog", "fork");
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		// Its own children go with it.
		setpgid(0, 0);
		kinds[kind].run(slot, directory);
	}
	return child;
}

int main(int argc, char **argv)
{
	size_t kind_of[MOST];
	pid_t workers[MOST];
	unsigned long seen[MOST] = { 0 };
	double moved[MOST], began, last, longest = 0;
	int count = 0, failed = 0, said = 0, seconds = argc == 3 ? atoi(argv[1]) : 0;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (seconds < 1) {
		fprintf(stderr, "usage: stress SECONDS DIRECTORY\n");
		return 2;
	}
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (board == MAP_FAILED)
		die("watchdog", "mmap");
	for (size_t kind = 0; kind < KINDS; kind++)
		kind_of[count++] = kind;
	// One that computes for each further CPU.
	for (long cpu = 1; cpu < cpus && count < MOST; cpu++)
		kind_of[count++] = KINDS - 1;
	// A line is out when it is written, whoever reads it.
	setvbuf(stdout, NULL, _IOLBF, 0);
	began = last = now();
	for (int slot = 0; slot < count; slot++) {
		workers[slot] = start(slot, kind_of[slot], argv[2]);
		moved[slot] = began;
	}

	while (!failed && now() - began < seconds) {
		double time;
		pid_t ended;

		doze(1000000);
		time = now();
		if (time - last > longest)
			longest = time - last;
		if (time - last > LIMIT) {
			fprintf(stderr, "stress: the watchdog slept for a second and woke after %.1f\n", time - last);
			failed = 1;
		}
		if ((int)(time - began) / PROGRESS > said) {
			said = (int)(time - began) / PROGRESS;
			printf("%d of %d s\n", said * PROGRESS, seconds);
		}
		last = time;
		ended = waitpid(-1, NULL, WNOHANG);
		for (int slot = 0; slot < count; slot++) {
			unsigned long value = atomic_load(&board->count[slot]);

			if (workers[slot] == ended) {
				fprintf(stderr, "stress: the worker of %s has ended\n", kinds[kind_of[slot]].name);
				failed = 1;
			}
			if (value != seen[slot]) {
				seen[slot] = value;
				moved[slot] = time;
			} else if (time - moved[slot] > LIMIT) {
				fprintf(stderr, "stress: %s have stalled for %.1f s\n", kinds[kind_of[slot]].name,
					time - moved[slot]);
				failed = 1;
			}
		}
	}
	for (int slot = 0; slot < count; slot++)
		kill(-workers[slot], SIGKILL);
	while (wait(NULL) > 0)
		;
	for (size_t kind = 0; kind < KINDS; kind++) {
		unsigned long total = 0;

		for (int slot = 0; slot < count; slot++)
			if (kind_of[slot] == kind)
				total += atomic_load(&board->count[slot]);
		printf("%lu %s\n", total, kinds[kind].name);
		if (total == 0)
			failed = 1;
	}
	printf("longest second of the watchdog %.3f s, latest timer %.3f s\n", longest,
	       (double)atomic_load(&board->latest) / 1e6);
	return failed;
}
