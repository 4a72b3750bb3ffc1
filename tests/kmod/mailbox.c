// SPDX-License-Identifier: GPL-2.0
/*
 * The RX and TX buffers, and the discovery that uses them.
 *
 * Under pKVM there are two pairs: the host's, which pKVM keeps, and the
 * hypervisor's, which the SPMC keeps. Each map and unmap of the host makes pKVM
 * do the same with its own pair below.
 */
#include <linux/io.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "harness.h"
#include "protocol.h"
#include "scenarios.h"

static struct ffa_regs info_get(const uuid_t *uuid, u32 flags)
{
	u32 words[4];

	ffa_uuid_words(uuid, words);
	return ffa_call(FFA_PARTITION_INFO_GET, words[0], words[1], words[2],
			words[3], flags);
}

/* Whether the SPMC really has a buffer: it fills it, and takes it back. */
static void expect_usable(const char *when)
{
	struct ffa_regs reply;

	memset(mailbox.rx, 0xa5, PAGE_SIZE);
	reply = info_get(&uuid_null, 0);
	if (!expect_success(reply, "FFA_PARTITION_INFO_GET %s", when))
		return;
	expect_true(memchr_inv(mailbox.rx, 0xa5, PAGE_SIZE),
		    "the RX buffer is written %s", when);
	expect_success(ffa_call(FFA_RX_RELEASE), "FFA_RX_RELEASE %s", when);
}

/* Without a buffer there is nowhere to put records. */
static void expect_no_buffer(const char *when)
{
	/* pKVM answers BUSY, the SPMC would say DENIED. */
	expect_error(info_get(&uuid_null, 0),
		     under_pkvm() ? FFA_RET_BUSY : FFA_RET_DENIED,
		     "FFA_PARTITION_INFO_GET %s", when);
}

/* The driver maps its own when it comes, and unmaps when it goes. */
static noinline void driver_maps_and_unmaps(void)
{
	phys_addr_t tx = virt_to_phys(mailbox.tx);
	phys_addr_t rx = virt_to_phys(mailbox.rx);
	struct ffa_regs reply;
	int i;

	for (i = 0; i < 2; i++) {
		if (!expect_eq(driver_load(), 0,
			       "loading Linux's driver, round %d", i))
			return;
		expect_true(driver_is_loaded(), "the driver found partitions");
		reply = ffa_call(FFA_FN64_RXTX_MAP, tx, rx, 1);
		expect_error(reply, FFA_RET_DENIED,
			     "FFA_RXTX_MAP while the driver has its buffers");
		if (!expect_eq(driver_unload(), 0,
			       "unloading Linux's driver, round %d", i))
			return;
		expect_no_buffer("after the driver went");
		if (!expect_success(mailbox_map(),
				    "FFA_RXTX_MAP after the driver went"))
			return;
		expect_usable("after the driver went");
		expect_success(mailbox_unmap(), "FFA_RXTX_UNMAP at the end");
	}
}

void rxtx_lifecycle(void)
{
	phys_addr_t tx = virt_to_phys(mailbox.tx);
	phys_addr_t rx = virt_to_phys(mailbox.rx);
	struct ffa_regs reply;
	int i;

	if (!expect_eq(driver_unload(), 0, "unloading Linux's driver"))
		return;

	/* Nothing is mapped. pKVM answers the first two. */
	expect_error(ffa_call(FFA_RXTX_UNMAP), FFA_RET_INVALID_PARAMETERS,
		     "FFA_RXTX_UNMAP with nothing mapped");
	expect_no_buffer("with nothing mapped");
	expect_error(ffa_call(FFA_RX_RELEASE), FFA_RET_DENIED,
		     "FFA_RX_RELEASE with nothing mapped");

	/* Malformed. pKVM answers, except for the last. */
	expect_error(ffa_call(FFA_FN64_RXTX_MAP, tx, rx, 0),
		     FFA_RET_INVALID_PARAMETERS, "FFA_RXTX_MAP of no pages");
	expect_error(ffa_call(FFA_FN64_RXTX_MAP, tx, rx, 64),
		     FFA_RET_INVALID_PARAMETERS, "FFA_RXTX_MAP of 64 pages");
	expect_error(ffa_call(FFA_FN64_RXTX_MAP, tx + 8, rx, 1),
		     FFA_RET_INVALID_PARAMETERS,
		     "FFA_RXTX_MAP of a TX buffer that is not aligned");
	expect_error(ffa_call(FFA_FN64_RXTX_MAP, tx, rx + 2048, 1),
		     FFA_RET_INVALID_PARAMETERS,
		     "FFA_RXTX_MAP of an RX buffer that is not aligned");
	/*
	 * pKVM maps its own pair at the SPMC before it finds out that the host's
	 * pages are one and the same, and unmaps it again.
	 */
	expect_error(ffa_call(FFA_FN64_RXTX_MAP, tx, tx, 1),
		     FFA_RET_INVALID_PARAMETERS,
		     "FFA_RXTX_MAP of one page as both buffers");
	expect_no_buffer("after refused maps");

	/* Map, use, map again, use, unmap: twice, so that unmap gave all back. */
	for (i = 0; i < 2; i++) {
		if (!expect_success(mailbox_map(), "FFA_RXTX_MAP, round %d", i))
			return;
		expect_usable("after FFA_RXTX_MAP");
		reply = ffa_call(FFA_FN64_RXTX_MAP, tx, rx, 1);
		expect_error(reply, FFA_RET_DENIED, "a second FFA_RXTX_MAP");
		expect_usable("after a second FFA_RXTX_MAP");

		/* Ids of others. pKVM answers. */
		expect_error(ffa_call(FFA_RXTX_UNMAP, (u32)ECHO_ID << 16),
			     FFA_RET_INVALID_PARAMETERS,
			     "FFA_RXTX_UNMAP for a partition");
		expect_error(ffa_call(FFA_RXTX_UNMAP, (u32)ABSENT_VM_ID << 16),
			     FFA_RET_INVALID_PARAMETERS,
			     "FFA_RXTX_UNMAP for an unknown VM");
		expect_usable("after refused unmaps");

		expect_success(mailbox_unmap(), "FFA_RXTX_UNMAP, round %d", i);
		expect_error(ffa_call(FFA_RXTX_UNMAP),
			     FFA_RET_INVALID_PARAMETERS,
			     "a second FFA_RXTX_UNMAP");
		expect_no_buffer("after FFA_RXTX_UNMAP");
	}

	/* An RX buffer that is unmapped while full comes back empty. */
	if (!expect_success(mailbox_map(), "FFA_RXTX_MAP, third time"))
		return;
	expect_success(info_get(&uuid_null, 0), "filling the RX buffer");
	expect_success(mailbox_unmap(), "FFA_RXTX_UNMAP with RX full");
	if (!expect_success(mailbox_map(), "FFA_RXTX_MAP, fourth time"))
		return;
	expect_usable("after RX was unmapped while full");

	/* Linux's driver cannot come while this module has the buffers. */
	expect_true(driver_load() != 0, "loading Linux's driver meanwhile");
	expect_true(!driver_is_loaded(), "no driver after a failed load");
	expect_usable("after the driver's failed load");
	expect_success(mailbox_unmap(), "FFA_RXTX_UNMAP before the driver");

	if (driver_is_usable())
		driver_maps_and_unmaps();
	else
		expect_no_driver();
	expect_success(mailbox_map(), "FFA_RXTX_MAP at the end");
	expect_usable("at the end");
}

/* One record of the list, as the host must see it. */
static void expect_record(const struct ffa_partition_info *record,
			  const struct partition *sp, bool with_uuid)
{
	u32 words[4] = {};
	int i;

	if (!expect_eq(record->id, sp->id, "id of %s", sp->name))
		return;
	expect_eq(record->exec_ctxt, sp->contexts, "contexts of %s", sp->name);
	expect_true(record->properties & FFA_PARTITION_DIRECT_RECV,
		    "%s (properties 0x%x) receives direct requests", sp->name,
		    record->properties);
	expect_true(record->properties & FFA_PARTITION_AARCH64_EXEC,
		    "%s (properties 0x%x) runs in AArch64", sp->name,
		    record->properties);
	/* It does send direct requests, but never to the normal world. */
	expect_true(!(record->properties & FFA_PARTITION_DIRECT_SEND),
		    "%s (properties 0x%x) sends no requests to the host",
		    sp->name, record->properties);
	/* Bit 9 is for callers at 1.2; what it may send is not the host's to know. */
	expect_eq(record->properties & ~GENMASK(8, 0),
		  host_version() >= FFA_VERSION_1_2 &&
				  sp->version >= FFA_VERSION_1_2 ?
			  RECEIVES_SERVICE_REQUESTS : 0,
		  "properties of %s that came with 1.2", sp->name);
	expect_eq(record->properties & GENMASK(5, 4), 0,
		  "what %s is, if not a PE endpoint", sp->name);

	/* A record carries the UUID only if the caller did not know it. */
	if (with_uuid)
		ffa_uuid_words(&sp->uuid, words);
	for (i = 0; i < 4; i++)
		expect_eq(record->uuid[i], words[i], "UUID word %d of %s", i,
			  sp->name);
}

static const uuid_t unknown = UUID_INIT(0xfef7ffd1, 0xe415, 0x4628, 0xa0, 0x4e,
					0x49, 0xbd, 0x74, 0xda, 0x1a, 0x8f);

/* FFA_PARTITION_INFO_GET_REGS */
static noinline struct ffa_regs info_get_regs(const uuid_t *uuid, u16 start,
					      u16 tag)
{
	u32 words[4];

	ffa_uuid_words(uuid, words);
	return ffa_call(FFA_PARTITION_INFO_GET_REGS,
			words[0] | (u64)words[1] << 32,
			words[2] | (u64)words[3] << 32, start | (u32)tag << 16);
}

/* The list from `start` to `last` in registers. Returns the tag of the answer. */
static noinline u16 expect_in_registers(const struct partition *first, const uuid_t *uuid,
			       u16 start, u16 last, u16 tag)
{
	struct ffa_regs reply = info_get_regs(uuid, start, tag);
	bool with_uuid = uuid_is_null(uuid);
	int i;

	if (!expect_success(reply, "list in registers from %u on", start))
		return 0;
	expect_eq((u32)reply.x[0], FFA_FN64_SUCCESS, "form of the answer");
	expect_eq(reply.x[1], 0, "x1 of the answer");
	expect_eq((u16)reply.x[2], last, "last index of the list");
	expect_eq((u16)(reply.x[2] >> 16), last, "index of the last one here");
	expect_eq(reply.x[2] >> 48, sizeof(struct ffa_partition_info),
		  "size of a record for a 1.2 caller");
	for (i = 0; i <= last - start; i++) {
		const u64 *x = &reply.x[3 + 3 * i];
		struct ffa_partition_info record;

		BUILD_BUG_ON(sizeof(record) != 3 * sizeof(*x));
		memcpy(&record, x, sizeof(record));
		expect_record(&record, &first[i], with_uuid);
	}
	for (i = 3 + 3 * i; i < ARRAY_SIZE(reply.x); i++)
		expect_eq(reply.x[i], 0, "x%d behind the list", i);
	return reply.x[2] >> 32;
}

/* The same without a buffer, for callers at 1.2. */
static noinline void info_in_registers(void)
{
	u16 last = PARTITION_COUNT - 1, tag;
	int i;

	tag = expect_in_registers(partitions, &uuid_null, 0, last, 0);
	for (i = 1; i < PARTITION_COUNT; i++)
		expect_eq(expect_in_registers(&partitions[i], &uuid_null, i,
					      last, tag),
			  tag, "tag of the list from %d on", i);
	for (i = 0; i < PARTITION_COUNT; i++)
		expect_in_registers(&partitions[i], &partitions[i].uuid, 0, 0, 0);

	expect_error(info_get_regs(&unknown, 0, 0), FFA_RET_INVALID_PARAMETERS,
		     "an unknown UUID");
	expect_error(info_get_regs(&uuid_null, PARTITION_COUNT, tag),
		     FFA_RET_INVALID_PARAMETERS, "an index behind the list");
	expect_error(info_get_regs(&uuid_null, U16_MAX, tag),
		     FFA_RET_INVALID_PARAMETERS, "the largest index");
	expect_error(info_get_regs(&partitions[0].uuid, 1, tag),
		     FFA_RET_INVALID_PARAMETERS, "a second one of a UUID");
	/* Another tag is that of another list. */
	expect_error(info_get_regs(&uuid_null, 1, tag ^ 1), FFA_RET_RETRY,
		     "a tag that no answer had");
	expect_error(info_get_regs(&uuid_null, 0, tag),
		     FFA_RET_INVALID_PARAMETERS, "a tag to begin with");
	expect_error(ffa_call(FFA_RX_RELEASE), FFA_RET_DENIED,
		     "FFA_RX_RELEASE after lists in registers");
}

void partition_info(void)
{
	const struct ffa_partition_info *records = mailbox.rx;
	struct ffa_regs reply;
	int i;

	if (!expect_eq(driver_unload(), 0, "unloading Linux's driver") ||
	    !expect_success(mailbox_map(), "FFA_RXTX_MAP"))
		return;

	/* Counts. They leave the RX buffer alone. */
	memset(mailbox.rx, 0xa5, PAGE_SIZE);
	reply = info_get(&uuid_null, FFA_PARTITION_INFO_COUNT_ONLY);
	if (expect_success(reply, "count of all partitions")) {
		expect_eq((u32)reply.x[2], PARTITION_COUNT, "count of all");
		expect_eq((u32)reply.x[3], 0, "record size with a count");
	}
	for (i = 0; i < PARTITION_COUNT; i++) {
		reply = info_get(&partitions[i].uuid,
				 FFA_PARTITION_INFO_COUNT_ONLY);
		if (expect_success(reply, "count by UUID of %s",
				   partitions[i].name))
			expect_eq((u32)reply.x[2], 1, "count of %s",
				  partitions[i].name);
	}
	expect_true(!memchr_inv(mailbox.rx, 0xa5, PAGE_SIZE),
		    "a count does not write the RX buffer");
	expect_error(ffa_call(FFA_RX_RELEASE), FFA_RET_DENIED,
		     "FFA_RX_RELEASE after counts");

	/* All of them. */
	memset(mailbox.rx, 0xa5, PAGE_SIZE);
	reply = info_get(&uuid_null, 0);
	if (!expect_success(reply, "list of all partitions"))
		return;
	expect_eq((u32)reply.x[2], PARTITION_COUNT, "length of the list");
	if (!expect_eq((u32)reply.x[3], sizeof(*records),
		       "size of a record since 1.1"))
		return;
	for (i = 0; i < PARTITION_COUNT; i++)
		expect_record(&records[i], &partitions[i], true);

	/* The buffer is the host's now: no second list, but counts. */
	expect_error(info_get(&uuid_null, 0), FFA_RET_BUSY,
		     "a list while RX is full");
	expect_success(info_get(&uuid_null, FFA_PARTITION_INFO_COUNT_ONLY),
		       "a count while RX is full");
	expect_success(ffa_call(FFA_RX_RELEASE), "FFA_RX_RELEASE");
	expect_error(ffa_call(FFA_RX_RELEASE), FFA_RET_DENIED,
		     "a second FFA_RX_RELEASE");

	/* One by one. */
	for (i = 0; i < PARTITION_COUNT; i++) {
		const struct partition *sp = &partitions[i];

		memset(mailbox.rx, 0xa5, PAGE_SIZE);
		reply = info_get(&sp->uuid, 0);
		if (!expect_success(reply, "%s by UUID", sp->name))
			continue;
		expect_eq((u32)reply.x[2], 1, "records for %s", sp->name);
		expect_record(&records[0], sp, false);
		expect_success(ffa_call(FFA_RX_RELEASE), "FFA_RX_RELEASE");
	}

	/* Refused; and a refusal does not take the buffer. */
	expect_error(info_get(&unknown, 0), FFA_RET_INVALID_PARAMETERS,
		     "list for an unknown UUID");
	expect_error(info_get(&unknown, FFA_PARTITION_INFO_COUNT_ONLY),
		     FFA_RET_INVALID_PARAMETERS, "count for an unknown UUID");
	expect_error(info_get(&uuid_null, BIT(1)), FFA_RET_INVALID_PARAMETERS,
		     "reserved flag 1");
	expect_error(info_get(&uuid_null, BIT(31)), FFA_RET_INVALID_PARAMETERS,
		     "reserved flag 31");
	expect_error(ffa_call(FFA_RX_RELEASE), FFA_RET_DENIED,
		     "FFA_RX_RELEASE after refusals");

	if (host_version() >= FFA_VERSION_1_2)
		info_in_registers();
	else
		expect_error(ffa_call(FFA_PARTITION_INFO_GET_REGS),
			     FFA_RET_NOT_SUPPORTED,
			     "FFA_PARTITION_INFO_GET_REGS");

	expect_success(mailbox_unmap(), "FFA_RXTX_UNMAP");
}
