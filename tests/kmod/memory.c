// SPDX-License-Identifier: GPL-2.0
/* What the scenarios about memory have in common. */
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/string.h>
#include <linux/unaligned.h>

#include "memory.h"

bool memory_begin(void)
{
	return expect_eq(driver_unload(), 0, "unloading Linux's driver") &&
	       expect_success(mailbox_map(), "FFA_RXTX_MAP");
}

static void put_range(void *at, const struct pages *range)
{
	put_unaligned_le64(range->address, at);
	put_unaligned_le32(range->pages, at + 8);
	put_unaligned_le32(0, at + 12);
}

/* Puts ranges from `first` on behind the first `start` bytes, as many as fit. */
static u32 put_ranges(const struct offer *offer, u32 first, u32 start)
{
	u32 i, n = min_t(u32, offer->count - first,
			 (PAGE_SIZE - start) / RANGE_SIZE);

	for (i = 0; i < n; i++)
		put_range(mailbox.tx + start + i * RANGE_SIZE,
			  &offer->ranges[first + i]);
	return n;
}

u32 memory_describe(const struct offer *offer)
{
	void *tx = mailbox.tx;
	u32 i, pages = 0;

	for (i = 0; i < offer->count; i++)
		pages += offer->ranges[i].pages;

	memset(tx, 0, PAGE_SIZE);
	put_unaligned_le16(HOST_ID, tx + OFFSET_SENDER);
	put_unaligned_le16(offer->attributes, tx + OFFSET_ATTRIBUTES);
	put_unaligned_le32(offer->flags, tx + OFFSET_FLAGS);
	put_unaligned_le64(offer->tag, tx + OFFSET_TAG);
	put_unaligned_le32(OFFSET_COMPOSITE - OFFSET_RECORD, tx + OFFSET_RECORD_SIZE);
	put_unaligned_le32(1, tx + OFFSET_RECORD_COUNT);
	put_unaligned_le32(OFFSET_RECORD, tx + OFFSET_RECORD_OFFSET);
	put_unaligned_le16(offer->receiver, tx + OFFSET_RECORD);
	*(u8 *)(tx + OFFSET_RECORD + 2) = offer->permissions;
	put_unaligned_le32(OFFSET_COMPOSITE, tx + OFFSET_RECORD + 4);
	put_unaligned_le32(pages, tx + OFFSET_COMPOSITE);
	put_unaligned_le32(offer->count, tx + OFFSET_COMPOSITE + 4);
	return OFFSET_RANGES + RANGE_SIZE * put_ranges(offer, 0, OFFSET_RANGES);
}

struct ffa_regs memory_send(const struct offer *offer, u64 *handle)
{
	u32 length = memory_length(offer);
	u32 sent = memory_describe(offer);
	struct ffa_regs reply;
	u32 low, high, n;

	reply = ffa_call(offer->function, length, sent);
	while ((u32)reply.x[0] == FFA_MEM_FRAG_RX) {
		low = reply.x[1];
		high = reply.x[2];
		if (!expect_eq((u32)reply.x[3], sent,
			       "offset of the fragment that is asked for") ||
		    !expect_true(sent < length,
				 "a fragment is asked for where none is left"))
			break;
		n = put_ranges(offer, (sent - OFFSET_RANGES) / RANGE_SIZE, 0);
		sent += n * RANGE_SIZE;
		reply = ffa_call(FFA_MEM_FRAG_TX, low, high, n * RANGE_SIZE);
	}
	*handle = PACK_HANDLE((u32)reply.x[2], (u32)reply.x[3]);
	return reply;
}

struct ffa_regs memory_reclaim(u64 handle, u32 flags)
{
	return ffa_call(FFA_MEM_RECLAIM, HANDLE_LOW(handle),
			HANDLE_HIGH(handle), flags);
}

u64 memory_pattern(u64 seed, u64 index)
{
	return seed + index * 0x9e3779b97f4a7c15;
}

void memory_fill(void *page, u64 number, u64 seed)
{
	u64 *words = page;
	int i;

	for (i = 0; i < PAGE_SIZE / sizeof(u64); i++)
		WRITE_ONCE(words[i],
			   memory_pattern(seed, number * (PAGE_SIZE / 8) + i));
}

bool memory_is_filled(const void *page, u64 number, u64 seed)
{
	const u64 *words = page;
	int i;

	for (i = 0; i < PAGE_SIZE / sizeof(u64); i++)
		if (READ_ONCE(words[i]) !=
		    memory_pattern(seed, number * (PAGE_SIZE / 8) + i))
			return false;
	return true;
}

u64 memory_checksum(u64 sum, const void *page)
{
	const u64 *words = page;
	int i;

	for (i = 0; i < PAGE_SIZE / sizeof(u64); i++) {
		sum = (sum ^ READ_ONCE(words[i])) * 0x100000001b3;
		sum = sum << 7 | sum >> 57;
	}
	return sum;
}

bool check_told(struct where where, const struct partition *sp,
		const struct ffa_regs *command, struct ffa_regs *reply,
		int code, const char *what)
{
	return check_answer(where, command, reply, sp->name) &&
	       check_eq(where, (u32)reply->x[4], (u32)code,
			"error code of %s, by %s", what, sp->name);
}

bool check_contained(struct where where, const struct partition *victim,
		     const struct ffa_regs *touch, bool returns,
		     const char *what)
{
	struct ffa_regs reply = ffa_direct(touch, NULL);
	bool held = check_error(where, &reply, FFA_RET_ABORTED,
				"%s by %s, which is stopped for it", what,
				victim->name);
	int sp;

	for (sp = 0; sp < PARTITION_COUNT; sp++) {
		struct ffa_regs request =
			ffa_request64(partitions[sp].id, 0xabcd, sp);

		if (&partitions[sp] == victim && !returns)
			continue;
		reply = ffa_direct(&request, NULL);
		held &= check_response(where, &request, &reply,
				       "%s, after %s was stopped for %s",
				       partitions[sp].name, victim->name,
				       what) &&
			check_eq(where, reply.x[4], sp, "x4 echoed by %s",
				 partitions[sp].name);
	}
	return held;
}
