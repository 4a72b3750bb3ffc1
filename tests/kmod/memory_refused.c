// SPDX-License-Identifier: GPL-2.0
/* Descriptors and pages that are refused, by pKVM or by the SPMC. */
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <linux/unaligned.h>

#include "memory.h"
#include "scenarios.h"

#define INVALID		FFA_RET_INVALID_PARAMETERS
#define DENIED		FFA_RET_DENIED
#define NO_MEMORY	FFA_RET_NO_MEMORY

/* A descriptor with one field that is wrong. */
struct flaw {
	const char *what;
	u32 at;
	/* Size of the field in bytes. */
	u32 size;
	u64 value;
	int code;
	/* What pKVM says, if it looks itself and says something else. */
	int pkvm_code;
};

/* The good descriptor has one record at 48, and two ranges of one page at 80. */
static const struct flaw flaws[] = {
	/* The header. */
	{ "sender: a partition", OFFSET_SENDER, 2, ECHO_ID, DENIED, INVALID },
	{ "sender: the SPMC", OFFSET_SENDER, 2, SPMC_ID, DENIED, INVALID },
	{ "attributes: a reserved type", OFFSET_ATTRIBUTES, 2, 0x3f, INVALID },
	{ "attributes: a reserved cacheability", OFFSET_ATTRIBUTES, 2, 0x2b, INVALID },
	{ "attributes: a reserved shareability", OFFSET_ATTRIBUTES, 2, 0x2d, INVALID },
	{ "attributes: bits that a device does not have", OFFSET_ATTRIBUTES, 2, 0x13,
	  INVALID },
	{ "attributes: bits without a type", OFFSET_ATTRIBUTES, 2, 0x0f, INVALID },
	{ "attributes: Non-secure", OFFSET_ATTRIBUTES, 2, 0x6f, INVALID },
	{ "attributes: bit 7", OFFSET_ATTRIBUTES, 2, 0xaf, INVALID },
	{ "attributes: bit 15", OFFSET_ATTRIBUTES, 2, 0x802f, INVALID },
	{ "attributes: a device", OFFSET_ATTRIBUTES, 2, 0x10, DENIED },
	{ "attributes: not cacheable", OFFSET_ATTRIBUTES, 2, 0x27, DENIED },
	{ "attributes: not shareable", OFFSET_ATTRIBUTES, 2, 0x2c, DENIED },
	{ "attributes: left open", OFFSET_ATTRIBUTES, 2, 0, DENIED },
	{ "flags: clear what is shared", OFFSET_FLAGS, 4, BIT(0), INVALID },
	{ "flags: in time slices", OFFSET_FLAGS, 4, BIT(1), INVALID },
	{ "flags: clear afterwards", OFFSET_FLAGS, 4, BIT(2), INVALID },
	{ "flags: a kind", OFFSET_FLAGS, 4, KIND_SHARE, INVALID },
	{ "flags: an alignment", OFFSET_FLAGS, 4, BIT(5) | BIT(9), INVALID },
	{ "flags: bypass", OFFSET_FLAGS, 4, BIT(10), INVALID },
	{ "flags: bit 11", OFFSET_FLAGS, 4, BIT(11), INVALID },
	{ "flags: bit 31", OFFSET_FLAGS, 4, BIT(31), INVALID },
	{ "a handle", OFFSET_HANDLE, 8, 1, INVALID },
	{ "record size: none", OFFSET_RECORD_SIZE, 4, 0, INVALID },
	{ "record size: too small", OFFSET_RECORD_SIZE, 4, 8, INVALID },
	{ "record size: of FF-A 1.2", OFFSET_RECORD_SIZE, 4, 32, INVALID },
	{ "record size: huge", OFFSET_RECORD_SIZE, 4, U32_MAX, INVALID },
	{ "records: none", OFFSET_RECORD_COUNT, 4, 0, INVALID },
	{ "records: one too many", OFFSET_RECORD_COUNT, 4, 2, INVALID },
	{ "records: very many", OFFSET_RECORD_COUNT, 4, U32_MAX, INVALID },
	{ "records: so many that their size wraps", OFFSET_RECORD_COUNT, 4, BIT(28),
	  INVALID },
	{ "record offset: none", OFFSET_RECORD_OFFSET, 4, 0, INVALID },
	{ "record offset: within the header", OFFSET_RECORD_OFFSET, 4, 32, INVALID },
	{ "record offset: not aligned", OFFSET_RECORD_OFFSET, 4, 56, INVALID },
	{ "record offset: behind the end", OFFSET_RECORD_OFFSET, 4, 112, INVALID },
	{ "record offset: far away", OFFSET_RECORD_OFFSET, 4, BIT(30), INVALID },
	{ "record offset: wraps", OFFSET_RECORD_OFFSET, 4, 0xfffffff0, INVALID },
	{ "header: first reserved word", OFFSET_RESERVED, 4, 1, INVALID },
	{ "header: second reserved word", OFFSET_RESERVED + 4, 4, BIT(31), INVALID },
	{ "header: last reserved word", OFFSET_RESERVED + 8, 4, 1, INVALID },
	/* The record. */
	{ "receiver: nobody", OFFSET_RECORD, 2, ABSENT_SP_ID, INVALID },
	{ "receiver: the SPMC", OFFSET_RECORD, 2, SPMC_ID, INVALID },
	{ "receiver: the SPMD", OFFSET_RECORD, 2, 0xffff, INVALID },
	{ "permissions: none", OFFSET_RECORD + 2, 1, 0, INVALID },
	{ "permissions: reserved", OFFSET_RECORD + 2, 1, 3, INVALID },
	{ "permissions: not to execute", OFFSET_RECORD + 2, 1, PERMIT_RW_NX,
	  INVALID },
	{ "permissions: to execute", OFFSET_RECORD + 2, 1, FFA_MEM_RW | FFA_MEM_EXEC,
	  INVALID },
	{ "permissions: to execute or not", OFFSET_RECORD + 2, 1, 0xe, INVALID },
	{ "permissions: bit 4", OFFSET_RECORD + 2, 1, BIT(4) | PERMIT_RW, INVALID },
	{ "record flags: not the borrower", OFFSET_RECORD + 3, 1, 1, INVALID },
	{ "record flags: bit 7", OFFSET_RECORD + 3, 1, BIT(7), INVALID },
	{ "record: reserved, low", OFFSET_RECORD + 8, 4, 1, INVALID },
	{ "record: reserved, high", OFFSET_RECORD + 12, 4, 1, INVALID },
	{ "ranges' header: none", OFFSET_RECORD + 4, 4, 0, INVALID },
	{ "ranges' header: in the record", OFFSET_RECORD + 4, 4, 48, INVALID },
	{ "ranges' header: not aligned", OFFSET_RECORD + 4, 4, 60, INVALID },
	{ "ranges' header: eight bytes late", OFFSET_RECORD + 4, 4, 72, INVALID },
	{ "ranges' header: behind the end", OFFSET_RECORD + 4, 4, 104, INVALID },
	{ "ranges' header: far away", OFFSET_RECORD + 4, 4, BIT(30), INVALID },
	{ "ranges' header: wraps", OFFSET_RECORD + 4, 4, 0xfffffff8, INVALID },
	/* The header of the ranges. */
	{ "pages: none", OFFSET_COMPOSITE, 4, 0, INVALID },
	{ "pages: one too few", OFFSET_COMPOSITE, 4, 1, INVALID },
	{ "pages: one too many", OFFSET_COMPOSITE, 4, 3, INVALID },
	{ "ranges: none", OFFSET_COMPOSITE + 4, 4, 0, INVALID },
	{ "ranges: one too few", OFFSET_COMPOSITE + 4, 4, 1, INVALID },
	{ "ranges: one too many", OFFSET_COMPOSITE + 4, 4, 3, INVALID },
	{ "ranges: so many that their size wraps", OFFSET_COMPOSITE + 4, 4,
	  BIT(28) + 2, INVALID },
	{ "ranges' header: reserved", OFFSET_COMPOSITE + 8, 8, BIT_ULL(63), INVALID },
	/* The ranges. pKVM looks at pages before the SPMC does. */
	{ "range: reserved", OFFSET_RANGES + 12, 4, 1, INVALID },
	{ "second range: reserved", OFFSET_RANGES + 28, 4, BIT(31), INVALID },
	{ "range: no pages", OFFSET_RANGES + 8, 4, 0, INVALID },
	{ "range: more pages than there are", OFFSET_RANGES + 8, 4, U32_MAX, DENIED },
	{ "range: the null page", OFFSET_RANGES, 8, 0, DENIED },
	{ "range: the SPMC", OFFSET_RANGES, 8, 0x0e100000, DENIED },
	{ "range: a partition", OFFSET_RANGES, 8, 0x0e300000, DENIED },
	{ "range: EL3", OFFSET_RANGES, 8, 0x0e000000, DENIED },
	{ "range: a device", OFFSET_RANGES, 8, 0x09000000, DENIED },
	{ "range: beyond the address space", OFFSET_RANGES, 8, BIT_ULL(48), INVALID,
	  DENIED },
	{ "range: at the end of all", OFFSET_RANGES, 8, 0xfffffffffffff000, INVALID,
	  DENIED },
};

/* A call whose registers are wrong for the good descriptor of 112 bytes. */
struct wrong_call {
	const char *what;
	u32 total;
	u32 fragment;
	u64 address;
	u32 pages;
	int code;
	int pkvm_code;
};

static const struct wrong_call wrong_calls[] = {
	{ "length: none", 0, 0, 0, 0, INVALID },
	{ "length: half a header", 24, 24, 0, 0, INVALID },
	{ "length: no record", 48, 48, 0, 0, INVALID },
	{ "length: no header of ranges", 64, 64, 0, 0, INVALID },
	{ "length: no range", 80, 80, 0, 0, INVALID },
	{ "length: half a range", 104, 104, 0, 0, INVALID },
	{ "length: one range too few", 96, 96, 0, 0, INVALID },
	{ "length: more than the ranges", 128, 128, 0, 0, INVALID },
	{ "length: more to come than the ranges", 128, 112, 0, 0, INVALID },
	{ "fragment: longer than the whole", 112, 128, 0, 0, INVALID },
	{ "fragment: without the header of ranges", 112, 72, 0, 0, INVALID },
	{ "fragment: cuts a range", 112, 88, 0, 0, INVALID },
	{ "fragment: longer than the buffer", 8192, 8192, 0, 0, INVALID },
	{ "length: enormous", U32_MAX, 112, 0, 0, INVALID, NO_MEMORY },
	{ "a buffer's address", 112, 112, 0x40000000, 0, INVALID },
	{ "a buffer's size", 112, 112, 0, 1, INVALID },
};

static int code_of(int code, int pkvm_code)
{
	return under_pkvm() && pkvm_code ? pkvm_code : code;
}

/* The pages can be shared, and are the host's again afterwards. */
static bool expect_unchanged(const struct offer *offer, const char *what)
{
	struct ffa_regs reply;
	u64 handle;

	reply = memory_send(offer, &handle);
	return expect_success(reply, "a good FFA_MEM_SHARE after: %s", what) &&
	       expect_success(memory_reclaim(handle, 0),
			      "FFA_MEM_RECLAIM after: %s", what);
}

static void put(void *at, u32 size, u64 value)
{
	switch (size) {
	case 1:
		*(u8 *)at = value;
		break;
	case 2:
		put_unaligned_le16(value, at);
		break;
	case 4:
		put_unaligned_le32(value, at);
		break;
	default:
		put_unaligned_le64(value, at);
		break;
	}
}

/* Descriptors that are wrong for lending only. */
static void lend_malformed(const struct pages *ranges)
{
	struct offer offer = {
		.function = FFA_FN64_MEM_LEND,
		.receiver = ECHO_ID,
		.permissions = PERMIT_RW,
		.ranges = ranges,
		.count = 2,
	};
	struct ffa_regs reply;
	u64 handle;

	/* The only borrower chooses the type. */
	offer.attributes = MEMORY_NORMAL;
	reply = memory_send(&offer, &handle);
	expect_error(reply, INVALID, "FFA_MEM_LEND that chooses a type");
	offer.attributes = MEMORY_OPEN;
	offer.flags = BIT(1);
	reply = memory_send(&offer, &handle);
	expect_error(reply, INVALID, "FFA_MEM_LEND in time slices");
	offer.flags = KIND_LEND;
	reply = memory_send(&offer, &handle);
	expect_error(reply, INVALID, "FFA_MEM_LEND with a kind");
	offer.flags = 0;
	offer.permissions = 0;
	reply = memory_send(&offer, &handle);
	expect_error(reply, INVALID, "FFA_MEM_LEND without permissions");
	offer.permissions = PERMIT_RW_NX;
	reply = memory_send(&offer, &handle);
	expect_error(reply, INVALID, "FFA_MEM_LEND that forbids to execute");
}

/* Handles that nobody has. */
static void reclaim_malformed(const struct offer *offer)
{
	u64 handle;
	int bit;

	expect_error(memory_reclaim(0, 0), INVALID, "FFA_MEM_RECLAIM of 0");
	expect_error(memory_reclaim(U64_MAX, 0), INVALID,
		     "FFA_MEM_RECLAIM of the invalid handle");
	if (!expect_success(memory_send(offer, &handle), "FFA_MEM_SHARE"))
		return;
	/* Every bit of a handle counts. */
	for (bit = 0; bit < 64; bit++)
		expect_error(memory_reclaim(handle ^ BIT_ULL(bit), 0), INVALID,
			     "FFA_MEM_RECLAIM of a handle with bit %d changed",
			     bit);
	expect_error(memory_reclaim(handle, BIT(1)), INVALID,
		     "FFA_MEM_RECLAIM in time slices");
	for (bit = 2; bit < 32; bit++)
		expect_error(memory_reclaim(handle, BIT(bit)), INVALID,
			     "FFA_MEM_RECLAIM with reserved flag %d", bit);
	expect_success(memory_reclaim(handle, 0), "FFA_MEM_RECLAIM");
}

void share_malformed(void)
{
	/* Receivers whose ids depend on whose kernel this is. */
	const struct {
		const char *what;
		u16 id;
		int code;
	} receivers[] = {
		{ "receiver: the sender", HOST_ID, INVALID },
		{ "receiver: a VM", ABSENT_VM_ID, DENIED },
	};
	const struct flaw *flaw;
	const struct wrong_call *call;
	struct pages ranges[2] = {};
	struct offer offer = SHARE(ECHO, ranges);
	struct ffa_regs reply;
	u32 length;
	void *pages;
	int i;

	if (!memory_begin())
		return;
	pages = (void *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, 2);
	if (!expect_true(pages, "four pages"))
		return;
	/* Not neighbours, so that nothing else lies in between. */
	ranges[0] = (struct pages){ virt_to_phys(pages), 1 };
	ranges[1] = (struct pages){ virt_to_phys(pages + 2 * PAGE_SIZE), 1 };
	if (!expect_unchanged(&offer, "nothing"))
		return;

	for (i = 0; i < ARRAY_SIZE(flaws); i++) {
		flaw = &flaws[i];
		length = memory_describe(&offer);
		put(mailbox.tx + flaw->at, flaw->size, flaw->value);
		reply = ffa_call(FFA_FN64_MEM_SHARE, length, length);
		expect_error(reply, code_of(flaw->code, flaw->pkvm_code), "%s",
			     flaw->what);
		if (!expect_unchanged(&offer, flaw->what))
			return;
	}
	for (i = 0; i < ARRAY_SIZE(wrong_calls); i++) {
		call = &wrong_calls[i];
		memory_describe(&offer);
		reply = ffa_call(FFA_FN64_MEM_SHARE, call->total, call->fragment,
				 call->address, call->pages);
		expect_error(reply, code_of(call->code, call->pkvm_code), "%s",
			     call->what);
		if (!expect_unchanged(&offer, call->what))
			return;
	}
	for (i = 0; i < ARRAY_SIZE(receivers); i++) {
		length = memory_describe(&offer);
		put(mailbox.tx + OFFSET_RECORD, 2, receivers[i].id);
		reply = ffa_call(FFA_FN64_MEM_SHARE, length, length);
		expect_error(reply, receivers[i].code, "%s", receivers[i].what);
		if (!expect_unchanged(&offer, receivers[i].what))
			return;
	}
	note("%zu malformed descriptors, %zu wrong calls", ARRAY_SIZE(flaws) + ARRAY_SIZE(receivers),
	     ARRAY_SIZE(wrong_calls));

	lend_malformed(ranges);
	reclaim_malformed(&offer);
	/* The 32-bit form is as good. */
	offer.function = FFA_MEM_SHARE;
	if (!expect_unchanged(&offer, "everything"))
		return;
	free_pages((unsigned long)pages, 2);
}

/* Nobody else gets a page of what is given away, in whatever way it is asked for. */
static void expect_taken(const struct pages *ranges, u32 count, const char *what)
{
	struct offer offer = {
		.function = FFA_FN64_MEM_SHARE,
		.permissions = PERMIT_RW,
		.ranges = ranges,
		.count = count,
	};
	struct ffa_regs reply;
	u64 handle;
	int sp;

	for (sp = 0; sp < PARTITION_COUNT; sp++) {
		offer.receiver = partitions[sp].id;
		offer.function = FFA_FN64_MEM_SHARE;
		offer.attributes = MEMORY_NORMAL;
		reply = memory_send(&offer, &handle);
		expect_error(reply, DENIED, "FFA_MEM_SHARE of %s with %s", what,
			     partitions[sp].name);
		offer.function = FFA_FN64_MEM_LEND;
		offer.attributes = MEMORY_OPEN;
		reply = memory_send(&offer, &handle);
		expect_error(reply, DENIED, "FFA_MEM_LEND of %s to %s", what,
			     partitions[sp].name);
	}
}

/*
 * A page that is given away already comes in a second fragment: all of it is refused.
 * pKVM then has the SPMC forget the first fragment, but not itself: it never lets go
 * of the page in it, so that page is lost.
 */
static void taken_in_second_fragment(const struct pages *taken)
{
	struct pages ranges[2] = { [1] = *taken };
	struct offer offer = SHARE(ECHO, ranges);
	struct ffa_regs reply;
	u32 low, high;
	void *page;

	page = (void *)__get_free_page(GFP_KERNEL | __GFP_ZERO);
	if (!expect_true(page, "a page"))
		return;
	ranges[0] = (struct pages){ virt_to_phys(page), 1 };
	memory_describe(&offer);
	reply = ffa_call(FFA_FN64_MEM_SHARE, memory_length(&offer),
			 OFFSET_RANGES + RANGE_SIZE);
	if (!expect_eq((u32)reply.x[0], FFA_MEM_FRAG_RX,
		       "answer to the first fragment"))
		return;
	low = reply.x[1];
	high = reply.x[2];
	memmove(mailbox.tx, mailbox.tx + OFFSET_RANGES + RANGE_SIZE, RANGE_SIZE);
	reply = ffa_call(FFA_MEM_FRAG_TX, low, high, RANGE_SIZE);
	expect_error(reply, DENIED, "a fragment with a page that is taken");
	/* That was the end of it. */
	expect_error(memory_reclaim(PACK_HANDLE(low, high), 0), INVALID,
		     "FFA_MEM_RECLAIM of what was refused");
	if (under_pkvm())
		return;
	offer.count = 1;
	if (expect_unchanged(&offer, "a refused fragment"))
		free_page((unsigned long)page);
}

void share_page_twice(void)
{
	const struct partition *sp = ECHO;
	struct pages first[1], same[2], list[2];
	struct offer offer = SHARE(sp, first);
	struct ffa_regs reply;
	phys_addr_t at;
	void *pages;
	u64 handle;
	int round;

	if (!memory_begin())
		return;
	pages = (void *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, 3);
	if (!expect_true(pages, "eight pages"))
		return;
	at = virt_to_phys(pages);
	first[0] = (struct pages){ at + 2 * PAGE_SIZE, 2 };
	memory_fill(pages + 2 * PAGE_SIZE, 0, 26);
	memory_fill(pages + 3 * PAGE_SIZE, 1, 26);

	/* Within one descriptor: the same page, and pages that overlap. */
	same[0] = same[1] = (struct pages){ at, 1 };
	expect_taken(same, 2, "one page twice");
	same[0] = (struct pages){ at, 2 };
	same[1] = (struct pages){ at + PAGE_SIZE, 2 };
	expect_taken(same, 2, "ranges that overlap");
	same[0] = (struct pages){ at, 4 };
	same[1] = (struct pages){ at + PAGE_SIZE, 1 };
	expect_taken(same, 2, "a range within another");

	/* The buffers of this very call are not to share. */
	same[0] = (struct pages){ virt_to_phys(mailbox.tx), 1 };
	expect_taken(same, 1, "the TX buffer");
	same[0] = (struct pages){ virt_to_phys(mailbox.rx), 1 };
	expect_taken(same, 1, "the RX buffer");

	/* Twice, so that the refusals leave nothing behind. */
	for (round = 0; round < 2; round++) {
		if (!expect_success(memory_send(&offer, &handle),
				    "FFA_MEM_SHARE, round %d", round))
			return;
		expect_taken(first, 1, "what is shared");
		list[0] = (struct pages){ at + 2 * PAGE_SIZE, 1 };
		expect_taken(list, 1, "its first page");
		list[0] = (struct pages){ at + 3 * PAGE_SIZE, 1 };
		expect_taken(list, 1, "its last page");
		list[0] = (struct pages){ at + PAGE_SIZE, 2 };
		expect_taken(list, 1, "a range that ends in it");
		list[0] = (struct pages){ at + 3 * PAGE_SIZE, 2 };
		expect_taken(list, 1, "a range that begins in it");
		list[0] = (struct pages){ at, 8 };
		expect_taken(list, 1, "a range around it");
		/* A good range in front of it does not help, nor suffer. */
		list[0] = (struct pages){ at + 6 * PAGE_SIZE, 1 };
		list[1] = (struct pages){ at + 2 * PAGE_SIZE, 1 };
		expect_taken(list, 2, "a page of it behind another");
		taken_in_second_fragment(first);

		/* What was refused took nothing from who has it. */
		if (tell(&reply, 0, sp, "retrieving", CMD_RETRIEVE, handle,
			 FROM(HOST_ID, MEMORY_NORMAL), KIND_SHARE, PERMIT_RW)) {
			expect_taken(first, 1, "what is retrieved");
			if (tell(&reply, 0, sp, "a checksum", CMD_CHECKSUM,
				 handle, 0, 2))
				expect_eq(reply.x[5],
					  memory_checksum(memory_checksum(0, pages + 2 * PAGE_SIZE),
							  pages + 3 * PAGE_SIZE),
					  "checksum of what %s has", sp->name);
			tell(&reply, 0, sp, "relinquishing", CMD_RELINQUISH,
			     handle);
		}
		if (!expect_success(memory_reclaim(handle, 0),
				    "FFA_MEM_RECLAIM, round %d", round))
			return;
	}
	/* The neighbours can be shared, all of them at once. */
	list[0] = (struct pages){ at, 8 };
	offer.ranges = list;
	if (!expect_unchanged(&offer, "all refusals"))
		return;
	free_pages((unsigned long)pages, 3);
}
