// A stream of bytes that follows from its seed: whoever knows that can tell each byte.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct stream {
	uint64_t state;
};

static inline void stream_start(struct stream *stream, uint64_t seed)
{
	// Never zero, where xorshift would stay.
	stream->state = seed * 2 + 1;
}

// Fills a buffer with the next bytes. Its size is a multiple of 8 everywhere but at the end of the stream.
static inline void stream_fill(struct stream *stream, unsigned char *to, size_t size)
{
	for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
		uint64_t next = stream->state;

		next ^= next << 13;
		next ^= next >> 7;
		next ^= next << 17;
		stream->state = next;
		memcpy(to + at, &next, size - at < sizeof(next) ? size - at : sizeof(next));
	}
}
