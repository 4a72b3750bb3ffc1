// SPDX-License-Identifier: GPL-2.0
/* Memory that the host shares with and lends to a partition. */
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/unaligned.h>

#include "memory.h"
#include "scenarios.h"

#define PAGES	4

/* A few pages of the host's, in one piece. */
struct buffer {
	void *at;
	struct pages ranges[1];
};

static bool buffer_get(struct buffer *buffer)
{
	buffer->at = (void *)__get_free_pages(GFP_KERNEL | __GFP_ZERO,
					      get_order(PAGES * PAGE_SIZE));
	if (!expect_true(buffer->at, "%d pages", PAGES))
		return false;
	buffer->ranges[0] = (struct pages){ virt_to_phys(buffer->at), PAGES };
	return true;
}

/* Pages that are still shared must not be given away. */
static void buffer_put(struct buffer *buffer, bool reclaimed)
{
	if (reclaimed)
		free_pages((unsigned long)buffer->at,
			   get_order(PAGES * PAGE_SIZE));
}

static void fill(const struct buffer *buffer, u64 seed)
{
	int i;

	for (i = 0; i < PAGES; i++)
		memory_fill(buffer->at + i * PAGE_SIZE, i, seed);
}

static bool is_filled(const struct buffer *buffer, u64 seed)
{
	int i;

	for (i = 0; i < PAGES; i++)
		if (!memory_is_filled(buffer->at + i * PAGE_SIZE, i, seed))
			return false;
	return true;
}

static u64 checksum(const struct buffer *buffer)
{
	u64 sum = 0;
	int i;

	for (i = 0; i < PAGES; i++)
		sum = memory_checksum(sum, buffer->at + i * PAGE_SIZE);
	return sum;
}

/* The partition retrieves what the host offers, and is told what it gets. */
static bool retrieve(const struct partition *sp, u64 handle, u32 kind,
		     u32 flags, u8 permissions, u16 tag)
{
	struct ffa_regs reply;
	/* Shared memory is never executed, so nobody says so. */
	u8 wish = kind == KIND_SHARE ? permissions :
				       permissions | FFA_MEM_NO_EXEC;

	if (!tell(&reply, 0, sp, "retrieving", CMD_RETRIEVE, handle,
		  FROM(HOST_ID, MEMORY_NORMAL), kind | flags, WISH(wish, tag)))
		return false;
	expect_eq((u32)reply.x[5], PAGES, "pages retrieved by %s", sp->name);
	expect_eq(reply.x[5] >> 32, 1, "ranges retrieved by %s", sp->name);
	expect_eq((u16)reply.x[6], MEMORY_NORMAL | MEMORY_NS,
		  "attributes that %s is told", sp->name);
	expect_eq((reply.x[6] >> 16) & 3, permissions,
		  "permissions that %s is told", sp->name);
	expect_eq((reply.x[6] >> 16) & FFA_MEM_EXEC, 0,
		  "permission to execute that %s is told", sp->name);
	expect_eq(reply.x[6] >> 24, 1, "records that %s is told", sp->name);
	expect_eq(reply.x[7] & KIND_DONATE, kind, "kind that %s is told",
		  sp->name);
	expect_eq(reply.x[7] >> 32, tag, "tag that %s is told", sp->name);
	return true;
}

/* The SPMC's or pKVM's answers to what a host never does. */
static void expect_host_refused(u64 handle)
{
	int code = under_pkvm() ? FFA_RET_NOT_SUPPORTED :
				  FFA_RET_INVALID_PARAMETERS;

	memset(mailbox.tx, 0, PAGE_SIZE);
	expect_error(ffa_call(FFA_MEM_RETRIEVE_REQ, 40, 40), code,
		     "a retrieve request of the host, too short");
	expect_error(ffa_call(FFA_FN64_MEM_RETRIEVE_REQ, 40, 40), code,
		     "a 64-bit retrieve request of the host, too short");
	expect_error(ffa_call(FFA_MEM_RELINQUISH), code,
		     "FFA_MEM_RELINQUISH of the host");
	expect_error(ffa_call(FFA_MEM_FRAG_RX, HANDLE_LOW(handle),
			      HANDLE_HIGH(handle), 80),
		     code, "FFA_MEM_FRAG_RX of the host out of turn");
	expect_error(ffa_call(FFA_FN64_MEM_DONATE, 40, 40), code,
		     "FFA_MEM_DONATE of the host, too short");
}

/* By its handle alone: what a hypervisor asks before it reclaims. */
static noinline struct ffa_regs look_up(u64 handle)
{
	memset(mailbox.tx, 0, PAGE_SIZE);
	put_unaligned_le64(handle, mailbox.tx + OFFSET_HANDLE);
	return ffa_call(FFA_FN64_MEM_RETRIEVE_REQ, OFFSET_RECORD, OFFSET_RECORD);
}

/* The host retrieves the description of what it shares, in its own version. */
static noinline void expect_description(u64 handle, const struct offer *offer)
{
	u32 size = host_version() >= FFA_VERSION_1_2 ? 32 : 16;
	u32 composite = OFFSET_RECORD + size, length, i;
	const void *rx = mailbox.rx;
	struct ffa_regs reply;

	length = composite + 16 + RANGE_SIZE * offer->count;
	reply = look_up(handle);
	if (!expect_eq((u32)reply.x[0], FFA_MEM_RETRIEVE_RESP,
		       "answer to FFA_MEM_RETRIEVE_REQ of the host"))
		return;
	expect_eq((u32)reply.x[1], length, "length of the description");
	expect_eq((u32)reply.x[2], length, "length of its first fragment");
	expect_eq(get_unaligned_le16(rx + OFFSET_SENDER), HOST_ID, "its sender");
	expect_eq(get_unaligned_le64(rx + OFFSET_HANDLE), handle, "its handle");
	expect_eq(get_unaligned_le32(rx + OFFSET_RECORD_SIZE), size,
		  "size of its record");
	expect_eq(get_unaligned_le32(rx + OFFSET_RECORD_COUNT), 1,
		  "number of its records");
	expect_eq(get_unaligned_le32(rx + OFFSET_RECORD_OFFSET), OFFSET_RECORD,
		  "place of its record");
	expect_eq(get_unaligned_le16(rx + OFFSET_RECORD), offer->receiver,
		  "its receiver");
	expect_eq(get_unaligned_le32(rx + OFFSET_RECORD + 4), composite,
		  "place of its ranges");
	expect_eq(get_unaligned_le32(rx + composite + 4), offer->count,
		  "number of its ranges");
	for (i = 0; i < offer->count; i++) {
		const void *range = rx + composite + 16 + i * RANGE_SIZE;

		expect_eq(get_unaligned_le64(range), offer->ranges[i].address,
			  "address of range %u", i);
		expect_eq(get_unaligned_le32(range + 8), offer->ranges[i].pages,
			  "pages of range %u", i);
	}
	expect_error(look_up(handle), FFA_RET_BUSY,
		     "another one while RX is full");
	expect_success(ffa_call(FFA_RX_RELEASE), "FFA_RX_RELEASE");
	expect_error(look_up(handle ^ BIT(20)), FFA_RET_INVALID_PARAMETERS,
		     "a description of nothing");
	expect_error(ffa_call(FFA_RX_RELEASE), FFA_RET_DENIED,
		     "FFA_RX_RELEASE after a refusal");
}

void share_reclaim(void)
{
	const struct partition *sp = RELAY;
	struct buffer buffer;
	struct offer offer;
	struct ffa_regs reply;
	bool reclaimed = false;
	u64 *words;
	u64 handle;

	if (!memory_begin() || !buffer_get(&buffer))
		return;
	words = buffer.at;
	fill(&buffer, 21);
	offer = SHARE(sp, buffer.ranges);
	offer.tag = 0x2121;
	if (!expect_success(memory_send(&offer, &handle), "FFA_MEM_SHARE"))
		goto out;
	expect_true(!(handle >> 63), "the SPMC's handle 0x%llx is no hypervisor's",
		    handle);
	expect_host_refused(handle);
	if (!under_pkvm())
		expect_description(handle, &offer);

	/* Requests that do not say what the sender said, or ask for more. */
	tell(&reply, FFA_RET_INVALID_PARAMETERS, sp, "another tag",
	     CMD_RETRIEVE, handle, FROM(HOST_ID, MEMORY_NORMAL), KIND_SHARE,
	     WISH(PERMIT_RW, 0x2122));
	tell(&reply, FFA_RET_INVALID_PARAMETERS, sp, "another kind",
	     CMD_RETRIEVE, handle, FROM(HOST_ID, MEMORY_NORMAL), KIND_LEND,
	     WISH(PERMIT_RW, 0x2121));
	tell(&reply, FFA_RET_INVALID_PARAMETERS, sp, "another handle",
	     CMD_RETRIEVE, handle ^ BIT(20), FROM(HOST_ID, MEMORY_NORMAL),
	     KIND_SHARE, WISH(PERMIT_RW, 0x2121));
	tell(&reply, FFA_RET_DENIED, sp, "another sender", CMD_RETRIEVE, handle,
	     FROM(ABSENT_VM_ID, MEMORY_NORMAL), KIND_SHARE,
	     WISH(PERMIT_RW, 0x2121));
	tell(&reply, FFA_RET_DENIED, ECHO, "what was offered to another",
	     CMD_RETRIEVE, handle, FROM(HOST_ID, MEMORY_NORMAL), KIND_SHARE,
	     WISH(PERMIT_RW, 0x2121));
	tell(&reply, FFA_RET_INVALID_PARAMETERS, sp,
	     "relinquishing before retrieving", CMD_RELINQUISH, handle);

	if (!retrieve(sp, handle, KIND_SHARE, 0, PERMIT_RW, 0x2121))
		goto reclaim;
	tell(&reply, FFA_RET_DENIED, sp, "retrieving twice", CMD_RETRIEVE,
	     handle, FROM(HOST_ID, MEMORY_NORMAL), KIND_SHARE,
	     WISH(PERMIT_RW, 0x2121));

	/* It sees the host's bytes, all of them, also those to come. */
	if (tell(&reply, 0, sp, "a checksum", CMD_CHECKSUM, handle, 0, PAGES))
		expect_eq(reply.x[5], checksum(&buffer), "checksum of what %s sees",
			  sp->name);
	WRITE_ONCE(words[700], 0x0123456789abcdef);
	if (tell(&reply, 0, sp, "reading", CMD_READ, handle, 700 * 8))
		expect_eq(reply.x[5], 0x0123456789abcdef,
			  "word of the host that %s reads", sp->name);
	/* The host sees the partition's. */
	tell(&reply, 0, sp, "writing", CMD_WRITE, handle, 1400 * 8,
	     0xfedcba9876543210);
	expect_eq(READ_ONCE(words[1400]), 0xfedcba9876543210,
		  "word of %s that the host reads", sp->name);
	tell(&reply, 0, sp, "filling", CMD_FILL, handle, 0, PAGES, 0x2100);
	expect_true(is_filled(&buffer, 0x2100), "the host sees all that %s wrote",
		    sp->name);

	tell(&reply, 0, sp, "relinquishing", CMD_RELINQUISH, handle);
	tell(&reply, FFA_RET_INVALID_PARAMETERS, sp, "relinquishing twice",
	     CMD_RELINQUISH, handle);
reclaim:
	reply = memory_reclaim(handle, 0);
	reclaimed = expect_success(reply, "FFA_MEM_RECLAIM");
	expect_error(memory_reclaim(handle, 0), FFA_RET_INVALID_PARAMETERS,
		     "a second FFA_MEM_RECLAIM");
	tell(&reply, FFA_RET_INVALID_PARAMETERS, sp, "retrieving too late",
	     CMD_RETRIEVE, handle, FROM(HOST_ID, MEMORY_NORMAL), KIND_SHARE,
	     WISH(PERMIT_RW, 0x2121));

	/* The memory is the host's alone. */
	fill(&buffer, 0x2101);
	expect_contained(sp, true, "reading reclaimed memory",
			 virt_to_phys(buffer.at), TOUCH_NS);
	expect_true(is_filled(&buffer, 0x2101), "reclaimed memory is untouched");
out:
	buffer_put(&buffer, reclaimed);
}

/* Lends memory, has it filled by the partition if it may, and reclaims it. */
static bool lend(struct buffer *buffer, u8 permissions, u32 lend_flags,
		 u32 retrieve_flags, u32 relinquish_flags, u32 reclaim_flags)
{
	const struct partition *sp = ECHO;
	struct offer offer = LEND(sp, buffer->ranges);
	struct ffa_regs reply;
	u64 handle, zeros;

	fill(buffer, 22);
	offer.permissions = permissions;
	offer.flags = lend_flags;
	offer.tag = 0x22;
	if (!expect_success(memory_send(&offer, &handle), "FFA_MEM_LEND"))
		return false;
	if (permissions == PERMIT_RO) {
		tell(&reply, FFA_RET_DENIED, sp, "asking for more than offered",
		     CMD_RETRIEVE, handle, FROM(HOST_ID, MEMORY_NORMAL),
		     KIND_LEND, WISH(PERMIT_RW_NX, 0x22));
		tell(&reply, FFA_RET_DENIED, sp, "asking to clear read-only memory",
		     CMD_RETRIEVE, handle, FROM(HOST_ID, MEMORY_NORMAL),
		     KIND_LEND | ZERO_AFTERWARDS, WISH(PERMIT_RO_NX, 0x22));
	}
	tell(&reply, FFA_RET_DENIED, sp, "asking to execute the host's memory",
	     CMD_RETRIEVE, handle, FROM(HOST_ID, MEMORY_NORMAL), KIND_LEND,
	     WISH(FFA_MEM_RO | FFA_MEM_EXEC, 0x22));
	if (!retrieve(sp, handle, KIND_LEND, retrieve_flags, permissions, 0x22))
		goto reclaim;
	zeros = memory_checksum(0, page_address(ZERO_PAGE(0)));
	if (tell(&reply, 0, sp, "a checksum", CMD_CHECKSUM, handle, 0, 1))
		expect_eq(reply.x[5] == zeros, lend_flags & ZERO_MEMORY,
			  "whether %s finds zeros", sp->name);
	if (permissions == PERMIT_RW)
		tell(&reply, 0, sp, "filling", CMD_FILL, handle, 0, PAGES,
		     0x2200);
	else
		tell(&reply, FFA_RET_DENIED, sp,
		     "relinquishing read-only memory and clearing it",
		     CMD_RELINQUISH, handle, ZERO_MEMORY);
	expect_error(memory_reclaim(handle, 0), FFA_RET_DENIED,
		     "FFA_MEM_RECLAIM of what is lent");
	tell(&reply, 0, sp, "relinquishing", CMD_RELINQUISH, handle,
	     relinquish_flags);
reclaim:
	return expect_success(memory_reclaim(handle, reclaim_flags),
			      "FFA_MEM_RECLAIM");
}

static void expect_contents(const struct buffer *buffer, bool reclaimed,
			    u64 seed, const char *what)
{
	if (!reclaimed)
		return;
	if (seed)
		expect_true(is_filled(buffer, seed), "%s", what);
	else
		expect_true(!memchr_inv(buffer->at, 0, PAGES * PAGE_SIZE), "%s",
			    what);
}

void lend_reclaim(void)
{
	struct buffer buffer;
	bool reclaimed;

	if (!memory_begin() || !buffer_get(&buffer))
		return;
	reclaimed = lend(&buffer, PERMIT_RW, 0, 0, 0, 0);
	expect_contents(&buffer, reclaimed, 0x2200,
			"what the borrower wrote comes back");
	if (!reclaimed)
		return;
	reclaimed = lend(&buffer, PERMIT_RO, 0, 0, 0, 0);
	expect_contents(&buffer, reclaimed, 22,
			"what could only be read comes back as it was");
	if (!reclaimed)
		return;
	reclaimed = lend(&buffer, PERMIT_RW, 0, ZERO_AFTERWARDS, 0, 0);
	expect_contents(&buffer, reclaimed, 0,
			"memory retrieved to be cleared afterwards is cleared");
	if (!reclaimed)
		return;
	reclaimed = lend(&buffer, PERMIT_RW, 0, 0, ZERO_MEMORY, 0);
	expect_contents(&buffer, reclaimed, 0,
			"memory cleared by who relinquishes it is cleared");
	if (!reclaimed)
		return;
	reclaimed = lend(&buffer, PERMIT_RW, ZERO_MEMORY, 0, 0, 0);
	expect_contents(&buffer, reclaimed, 0x2200,
			"memory cleared when lent has what the borrower wrote");
	if (!reclaimed)
		return;
	reclaimed = lend(&buffer, PERMIT_RW, 0, 0, 0, ZERO_MEMORY);
	expect_contents(&buffer, reclaimed, 0,
			"memory cleared by who reclaims it is cleared");
	buffer_put(&buffer, reclaimed);
}

void reclaim_while_retrieved(void)
{
	const struct partition *sp = IRQ;
	struct buffer buffer;
	struct offer offer;
	struct ffa_regs reply;
	bool reclaimed = false;
	u64 handle, first;
	int round;

	if (!memory_begin() || !buffer_get(&buffer))
		return;

	/* Nobody has retrieved it: nothing to wait for. */
	offer = SHARE(sp, buffer.ranges);
	if (!expect_success(memory_send(&offer, &first), "FFA_MEM_SHARE"))
		goto out;
	reclaimed = expect_success(memory_reclaim(first, 0),
				   "FFA_MEM_RECLAIM before it is retrieved");
	for (round = 0; reclaimed && round < 3; round++) {
		offer = round & 1 ? LEND(sp, buffer.ranges) :
				    SHARE(sp, buffer.ranges);
		fill(&buffer, 24 + round);
		reclaimed = false;
		if (!expect_success(memory_send(&offer, &handle),
				    "sending it, round %d", round))
			goto out;
		expect_true(handle != first, "a handle is not used again");
		if (!retrieve(sp, handle, round & 1 ? KIND_LEND : KIND_SHARE, 0,
			      PERMIT_RW, 0))
			goto reclaim;
		expect_error(memory_reclaim(handle, 0), FFA_RET_DENIED,
			     "FFA_MEM_RECLAIM of what is retrieved");
		expect_error(memory_reclaim(handle, ZERO_MEMORY), FFA_RET_DENIED,
			     "FFA_MEM_RECLAIM and clear of what is retrieved");
		/* Neither took anything from the borrower, nor cleared it. */
		if (tell(&reply, 0, sp, "a checksum", CMD_CHECKSUM, handle, 0,
			 PAGES))
			expect_eq(reply.x[5], checksum(&buffer),
				  "checksum after refused reclaims");
		tell(&reply, 0, sp, "filling", CMD_FILL, handle, 0, PAGES,
		     0x2400 + round);
		tell(&reply, 0, sp, "relinquishing", CMD_RELINQUISH, handle);
reclaim:
		reclaimed = expect_success(memory_reclaim(handle, 0),
					   "FFA_MEM_RECLAIM at last");
		if (reclaimed)
			expect_true(is_filled(&buffer, 0x2400 + round),
				    "what %s wrote is there", sp->name);
	}
out:
	buffer_put(&buffer, reclaimed);
}

/* Every other page of some blocks, so that no two are neighbours. */
#define FRAGMENTED	640
#define BLOCK_ORDER	9
#define PER_BLOCK	(1 << (BLOCK_ORDER - 1))
#define BLOCKS		DIV_ROUND_UP(FRAGMENTED, PER_BLOCK)

struct scattered {
	void *blocks[BLOCKS];
	struct pages ranges[FRAGMENTED];
};

static void *scattered_page(const struct scattered *scattered, int i)
{
	return scattered->blocks[i / PER_BLOCK] +
	       2 * (i % PER_BLOCK) * PAGE_SIZE;
}

static void fill_scattered(const struct scattered *scattered, u64 seed)
{
	int i;

	for (i = 0; i < FRAGMENTED; i++)
		memory_fill(scattered_page(scattered, i), i, seed);
}

/* A few ranges in fragments of the given sizes. */
static void send_in_pieces(const struct scattered *scattered,
			   const struct partition *sp, const u32 *sizes,
			   int count)
{
	struct offer offer = SHARE(sp, scattered->ranges);
	static u8 descriptor[PAGE_SIZE];
	struct ffa_regs reply;
	u32 length, sent;
	u64 handle;
	int i;

	offer.count = 5;
	length = memory_describe(&offer);
	memcpy(descriptor, mailbox.tx, length);
	sent = sizes[0];
	/* What is behind the fragment does not count. */
	memset(mailbox.tx + sent, 0xff, PAGE_SIZE - sent);
	reply = ffa_call(FFA_FN64_MEM_SHARE, length, sent);
	for (i = 1; i < count; i++) {
		if (!expect_eq((u32)reply.x[0], FFA_MEM_FRAG_RX,
			       "answer to fragment %d", i) ||
		    !expect_eq((u32)reply.x[3], sent,
			       "offset that is asked for after fragment %d", i))
			return;
		memcpy(mailbox.tx, descriptor + sent, sizes[i]);
		memset(mailbox.tx + sizes[i], 0xff, PAGE_SIZE - sizes[i]);
		sent += sizes[i];
		reply = ffa_call(FFA_MEM_FRAG_TX, (u32)reply.x[1],
				 (u32)reply.x[2], sizes[i]);
	}
	if (!expect_success(reply, "the last of %d fragments", count))
		return;
	handle = PACK_HANDLE((u32)reply.x[2], (u32)reply.x[3]);
	if (tell(&reply, 0, sp, "retrieving", CMD_RETRIEVE, handle,
		 FROM(HOST_ID, MEMORY_NORMAL), KIND_SHARE, PERMIT_RW)) {
		expect_eq(reply.x[5], 5 | 5ULL << 32, "pages and ranges");
		tell(&reply, 0, sp, "relinquishing", CMD_RELINQUISH, handle);
	}
	expect_success(memory_reclaim(handle, 0), "FFA_MEM_RECLAIM");
}

void share_fragmented(void)
{
	static const u32 sizes[] = { OFFSET_RANGES, 16, 32, 32 };
	static const u32 halves[] = { OFFSET_RANGES + 64, 16 };
	const struct partition *sp = RELAY;
	struct scattered *scattered;
	struct ffa_regs reply;
	struct offer offer;
	bool reclaimed = true;
	u64 handle, sum = 0;
	int i;

	if (!memory_begin())
		return;
	scattered = kzalloc(sizeof(*scattered), GFP_KERNEL);
	if (!expect_true(scattered, "memory for the list"))
		return;
	for (i = 0; i < BLOCKS; i++) {
		scattered->blocks[i] = (void *)__get_free_pages(GFP_KERNEL,
								BLOCK_ORDER);
		if (!expect_true(scattered->blocks[i], "block %d", i))
			goto out;
	}
	for (i = 0; i < FRAGMENTED; i++)
		scattered->ranges[i] = (struct pages){
			virt_to_phys(scattered_page(scattered, i)), 1
		};
	fill_scattered(scattered, 23);
	for (i = 0; i < FRAGMENTED; i++)
		sum = memory_checksum(sum, scattered_page(scattered, i));

	/* Into the SPMC in three fragments: 251, 256 and 133 ranges. */
	offer = SHARE(sp, scattered->ranges);
	expect_true(memory_length(&offer) > 2 * PAGE_SIZE,
		    "the descriptor is longer than two fragments");
	reclaimed = false;
	if (!expect_success(memory_send(&offer, &handle), "FFA_MEM_SHARE of %d ranges",
			    FRAGMENTED))
		goto out;
	/* All of it is there: there is nothing to go on with. */
	memset(mailbox.tx, 0, PAGE_SIZE);
	expect_error(ffa_call(FFA_MEM_FRAG_TX, HANDLE_LOW(handle),
			      HANDLE_HIGH(handle), 0),
		     FFA_RET_INVALID_PARAMETERS, "a fragment too many");

	/* Out of the SPMC to the partition, in fragments too. */
	if (tell(&reply, 0, sp, "retrieving", CMD_RETRIEVE, handle,
		 FROM(HOST_ID, MEMORY_NORMAL), KIND_SHARE, PERMIT_RW)) {
		expect_eq((u32)reply.x[5], FRAGMENTED, "pages of %s", sp->name);
		expect_eq(reply.x[5] >> 32, FRAGMENTED, "ranges of %s",
			  sp->name);
		if (tell(&reply, 0, sp, "a checksum", CMD_CHECKSUM, handle, 0,
			 FRAGMENTED))
			expect_eq(reply.x[5], sum, "checksum of all ranges");
		tell(&reply, 0, sp, "filling", CMD_FILL, handle, 0, FRAGMENTED,
		     0x2300);
		for (i = 0; i < FRAGMENTED; i++)
			if (!memory_is_filled(scattered_page(scattered, i), i,
					      0x2300))
				break;
		expect_eq(i, FRAGMENTED, "pages as %s filled them", sp->name);
		expect_error(memory_reclaim(handle, 0), FFA_RET_DENIED,
			     "FFA_MEM_RECLAIM of what is retrieved");
		tell(&reply, 0, sp, "relinquishing", CMD_RELINQUISH, handle);
	}
	/* Back by fragments: pKVM asks for the list before it reclaims. */
	reclaimed = expect_success(memory_reclaim(handle, 0),
				   "FFA_MEM_RECLAIM of %d ranges", FRAGMENTED);

	/* Fragments may have any size. */
	if (reclaimed) {
		send_in_pieces(scattered, sp, sizes, ARRAY_SIZE(sizes));
		send_in_pieces(scattered, sp, halves, ARRAY_SIZE(halves));
	}
	/* All of it can be shared again: nothing was left behind. */
	if (reclaimed &&
	    expect_success(memory_send(&offer, &handle), "sharing it again"))
		reclaimed = expect_success(memory_reclaim(handle, 0),
					   "reclaiming it again");
out:
	for (i = 0; i < BLOCKS && reclaimed; i++)
		free_pages((unsigned long)scattered->blocks[i], BLOCK_ORDER);
	kfree(scattered);
}
