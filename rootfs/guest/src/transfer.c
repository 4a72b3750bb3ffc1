// Usage: transfer PEER BYTES
//
// Run on two machines at once, each with the other as PEER: sends a stream of known bytes to the peer while it
// receives one, over TCP. The receiver compares every byte with what it must be, and says so to the sender at the
// end. So success here means that the stream to the peer arrived whole too, and that the peer has heard of it: either
// machine may be switched off then.
//
// At most WINDOW bytes are under way at a time, so that a switch whose queues hold as much loses none of them: what TCP
// has to send again is a fault then, and no congestion.
#include "stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT 5201
#define CHUNK 65536
#define WINDOW 65536

struct header {
	uint64_t seed;
	uint64_t bytes;
};

static void die(const char *what)
{
	fprintf(stderr, "transfer: %s: %s\n", what, errno ? strerror(errno) : "the connection ended");
	exit(1);
}

static void send_all(int to, const void *data, size_t size)
{
	const char *next = data;

	while (size > 0) {
		ssize_t count = send(to, next, size, MSG_NOSIGNAL);

		if (count < 0)
			die("sending");
		next += count;
		size -= count;
	}
}

static void receive_all(int from, void *data, size_t size)
{
	char *next = data;

	while (size > 0) {
		errno = 0;
		ssize_t count = recv(from, next, size, 0);

		if (count <= 0)
			die("receiving");
		next += count;
		size -= count;
	}
}

static size_t smaller(uint64_t left)
{
	return left < CHUNK ? left : CHUNK;
}

static void receive(int listener, uint64_t bytes)
{
	static unsigned char got[CHUNK], want[CHUNK];
	int from = accept(listener, NULL, NULL);
	struct header header;
	struct stream stream;
	char rest;

	if (from < 0)
		die("accepting");
	receive_all(from, &header, sizeof(header));
	if (header.bytes != bytes) {
		fprintf(stderr, "transfer: the peer sends %llu bytes, not %llu\n",
			(unsigned long long)header.bytes, (unsigned long long)bytes);
		exit(1);
	}
	stream_start(&stream, header.seed);
	for (uint64_t done = 0; done < bytes;) {
		size_t size = smaller(bytes - done);

		receive_all(from, got, size);
		stream_fill(&stream, want, size);
		if (memcmp(got, want, size) != 0) {
			fprintf(stderr, "transfer: wrong bytes in the %zu after %llu\n", size, (unsigned long long)done);
			exit(1);
		}
		done += size;
	}
	send_all(from, &header, sizeof(header));
	// The peer ends the connection when it has read the answer.
	if (recv(from, &rest, 1, 0) != 0)
		die("waiting for the end");
	exit(0);
}

static int connected(const char *peer)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	struct timespec pause = { .tv_nsec = 100000000 };
	int window = WINDOW;

	if (inet_pton(AF_INET, peer, &address.sin_addr) != 1) {
		fprintf(stderr, "transfer: %s is no address\n", peer);
		exit(2);
	}
	// The peer may not be there yet: then it refuses.
	for (int tries = 0; tries < 600; tries++) {
		int to = socket(AF_INET, SOCK_STREAM, 0);

		if (to < 0 || setsockopt(to, SOL_SOCKET, SO_SNDBUF, &window, sizeof(window)) < 0)
			die("socket");
		if (connect(to, (struct sockaddr *)&address, sizeof(address)) == 0)
			return to;
		if (errno != ECONNREFUSED)
			die("connecting");
		close(to);
		nanosleep(&pause, NULL);
	}
	die("connecting");
	return -1;
}

static void deliver(const char *peer, uint64_t bytes)
{
	static unsigned char data[CHUNK];
	int to = connected(peer);
	struct header header = { .seed = (uint64_t)time(NULL) << 20 | (uint64_t)getpid(), .bytes = bytes }, answer;
	struct stream stream;

	send_all(to, &header, sizeof(header));
	stream_start(&stream, header.seed);
	for (uint64_t done = 0; done < bytes;) {
		size_t size = smaller(bytes - done);

		stream_fill(&stream, data, size);
		send_all(to, data, size);
		done += size;
	}
	receive_all(to, &answer, sizeof(answer));
	if (memcmp(&answer, &header, sizeof(header)) != 0) {
		fprintf(stderr, "transfer: the peer answers for another stream\n");
		exit(1);
	}
	close(to);
}

int main(int argc, char **argv)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1, status;
	struct timespec began, ended;
	uint64_t bytes;
	pid_t receiver;

	if (argc != 3) {
		fprintf(stderr, "usage: transfer PEER BYTES\n");
		return 2;
	}
	bytes = strtoull(argv[2], NULL, 0);
	if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(listener, (struct sockaddr *)&any, sizeof(any)) < 0 || listen(listener, 1) < 0)
		die("listening");
	clock_gettime(CLOCK_MONOTONIC, &began);
	receiver = fork();
	if (receiver < 0)
		die("fork");
	if (receiver == 0)
		receive(listener, bytes);
	deliver(argv[1], bytes);
	if (waitpid(receiver, &status, 0) != receiver || status != 0)
		return 1;
	clock_gettime(CLOCK_MONOTONIC, &ended);
	printf("%llu bytes sent and received, all equal, in %.2f s of this machine's time\n", (unsigned long long)bytes,
	       (double)(ended.tv_sec - began.tv_sec) + (double)(ended.tv_nsec - began.tv_nsec) / 1e9);
	return 0;
}
