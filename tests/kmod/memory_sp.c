// SPDX-License-Identifier: GPL-2.0
/* Memory that one partition gives to another. The host only says who does what. */
#include <linux/gfp.h>
#include <linux/kernel.h>

#include "memory.h"
#include "scenarios.h"

/* CMD_SEND: `count` spare pages from `first` on. */
#define SPARE(kind, first, count, attributes) \
	((u64)(attributes) << 32 | (count) << 16 | (first) << 8 | (kind))
#define TO(sp, permissions)	((u64)(permissions) << 16 | (sp)->id)
#define AND(sp, permissions)	((u64)(permissions) << 48 | (u64)(sp)->id << 32)
/* CMD_RETRIEVE where another borrower is named too. */
#define BESIDE(sp, permissions)	((u64)(sp)->id << 16 | (permissions) << 8)
#define OTHER_FIRST		BIT_ULL(32)

static bool checksum(const struct partition *sp, u64 handle, u64 first,
		     u64 count, u64 *sum)
{
	struct ffa_regs reply;

	if (!tell(&reply, 0, sp, "a checksum", CMD_CHECKSUM, handle, first,
		  count))
		return false;
	*sum = reply.x[5];
	return true;
}

static u64 address_of(const struct partition *sp, int spare)
{
	struct ffa_regs reply;

	return tell(&reply, 0, sp, "the address of a page", CMD_SPARE_PAGE,
		    spare) ? reply.x[5] : 0;
}

/* The partition gives pages away, and names them. */
static bool send(const struct partition *owner, const char *what, u64 pages,
		 u64 receivers, u32 flags, u64 tag, u64 *handle)
{
	struct ffa_regs reply;

	if (!tell(&reply, 0, owner, what, CMD_SEND, pages, receivers, flags, tag))
		return false;
	*handle = reply.x[5];
	return true;
}

/* What a borrower of a partition's memory is told. */
static void expect_retrieved(const struct ffa_regs *reply,
			     const struct partition *sp, u32 pages, u32 kind,
			     u8 permissions)
{
	expect_eq((u32)reply->x[5], pages, "pages retrieved by %s", sp->name);
	expect_eq((u16)reply->x[6], MEMORY_NORMAL,
		  "attributes that %s is told: Secure", sp->name);
	expect_eq((reply->x[6] >> 16) & 3, permissions,
		  "permissions that %s is told", sp->name);
	expect_eq(reply->x[7] & KIND_DONATE, kind, "kind that %s is told",
		  sp->name);
}

void sp_share(void)
{
	const struct partition *owner = RELAY, *borrower = ECHO;
	u64 handle, theirs = 0, ours = 0;
	struct ffa_regs reply;

	if (!memory_begin())
		return;
	tell(&reply, 0, owner, "filling", CMD_FILL, MEMORY_OWN, 0, 2, 27);
	if (!send(owner, "sharing", SPARE(SEND_SHARE, 0, 2, MEMORY_NORMAL),
		  TO(borrower, PERMIT_RW), 0, 27, &handle))
		return;

	/* It is nobody else's business. */
	tell(&reply, FFA_RET_DENIED, IRQ, "what was offered to another",
	     CMD_RETRIEVE, handle, FROM(owner->id, MEMORY_NORMAL), KIND_SHARE,
	     WISH(PERMIT_RW, 27));
	tell(&reply, FFA_RET_INVALID_PARAMETERS, IRQ, "reclaiming another's",
	     CMD_RECLAIM, handle);
	tell(&reply, FFA_RET_INVALID_PARAMETERS, borrower,
	     "reclaiming what it may borrow", CMD_RECLAIM, handle);
	expect_error(memory_reclaim(handle, 0), FFA_RET_INVALID_PARAMETERS,
		     "the host reclaims a partition's memory");
	tell(&reply, FFA_RET_DENIED, owner, "sharing it again", CMD_SEND,
	     SPARE(SEND_SHARE, 1, 1, MEMORY_NORMAL), TO(borrower, PERMIT_RW));
	/* Never to the normal world, nor to oneself or nobody. */
	tell(&reply, FFA_RET_DENIED, owner, "sharing with the host", CMD_SEND,
	     SPARE(SEND_SHARE, 2, 1, MEMORY_NORMAL),
	     (u64)PERMIT_RW << 16 | HOST_ID);
	tell(&reply, FFA_RET_INVALID_PARAMETERS, owner, "sharing with itself",
	     CMD_SEND, SPARE(SEND_SHARE, 2, 1, MEMORY_NORMAL),
	     TO(owner, PERMIT_RW));
	tell(&reply, FFA_RET_INVALID_PARAMETERS, owner, "sharing with nobody",
	     CMD_SEND, SPARE(SEND_SHARE, 2, 1, MEMORY_NORMAL),
	     (u64)PERMIT_RW << 16 | ABSENT_SP_ID);

	if (!tell(&reply, 0, borrower, "retrieving", CMD_RETRIEVE, handle,
		  FROM(owner->id, MEMORY_NORMAL), KIND_SHARE,
		  WISH(PERMIT_RW, 27)))
		goto reclaim;
	expect_retrieved(&reply, borrower, 2, KIND_SHARE, PERMIT_RW);
	if (checksum(borrower, handle, 0, 2, &theirs) &&
	    checksum(owner, MEMORY_OWN, 0, 2, &ours))
		expect_eq(theirs, ours, "checksum of what both see");

	/* Each sees what the other writes. */
	tell(&reply, 0, borrower, "writing", CMD_WRITE, handle, 4096 + 64,
	     0x2727272727272727);
	if (tell(&reply, 0, owner, "reading", CMD_READ, MEMORY_OWN, 4096 + 64))
		expect_eq(reply.x[5], 0x2727272727272727,
			  "word that the owner reads");
	tell(&reply, 0, owner, "writing", CMD_WRITE, MEMORY_OWN, 128,
	     0x7272727272727272);
	if (tell(&reply, 0, borrower, "reading", CMD_READ, handle, 128))
		expect_eq(reply.x[5], 0x7272727272727272,
			  "word that the borrower reads");

	tell(&reply, FFA_RET_DENIED, owner, "reclaiming what is retrieved",
	     CMD_RECLAIM, handle);
	tell(&reply, 0, borrower, "relinquishing", CMD_RELINQUISH, handle);
reclaim:
	tell(&reply, 0, owner, "reclaiming", CMD_RECLAIM, handle);
	tell(&reply, FFA_RET_INVALID_PARAMETERS, owner, "reclaiming twice",
	     CMD_RECLAIM, handle);
	tell(&reply, FFA_RET_INVALID_PARAMETERS, borrower, "retrieving too late",
	     CMD_RETRIEVE, handle, FROM(owner->id, MEMORY_NORMAL), KIND_SHARE,
	     WISH(PERMIT_RW, 27));
	if (tell(&reply, 0, owner, "reading", CMD_READ, MEMORY_OWN, 4096 + 64))
		expect_eq(reply.x[5], 0x2727272727272727,
			  "word that the owner keeps");
}

void sp_lend(void)
{
	const struct partition *owner = RELAY, *borrower = ECHO;
	struct ffa_regs reply;
	u64 handle, page;

	if (!memory_begin())
		return;
	page = address_of(owner, 1);
	if (!page)
		return;
	tell(&reply, 0, owner, "filling", CMD_FILL, MEMORY_OWN, 1, 1, 28);
	if (!send(owner, "lending", SPARE(SEND_LEND, 1, 1, MEMORY_OPEN),
		  TO(borrower, PERMIT_RW), 0, 28, &handle))
		return;
	if (!tell(&reply, 0, borrower, "retrieving", CMD_RETRIEVE, handle,
		  FROM(owner->id, MEMORY_NORMAL), KIND_LEND,
		  WISH(PERMIT_RW_NX, 28)))
		goto reclaim;
	expect_retrieved(&reply, borrower, 1, KIND_LEND, PERMIT_RW);
	tell(&reply, 0, borrower, "filling", CMD_FILL, handle, 0, 1, 0x2800);
	tell(&reply, FFA_RET_DENIED, owner, "sharing what it lends", CMD_SEND,
	     SPARE(SEND_SHARE, 1, 1, MEMORY_NORMAL), TO(IRQ, PERMIT_RW));
	tell(&reply, FFA_RET_INVALID_PARAMETERS, borrower,
	     "reclaiming what it has borrowed", CMD_RECLAIM, handle);
	tell(&reply, FFA_RET_DENIED, owner, "reclaiming what is retrieved",
	     CMD_RECLAIM, handle);
	tell(&reply, 0, borrower, "relinquishing", CMD_RELINQUISH, handle);
reclaim:
	if (!tell(&reply, 0, owner, "reclaiming", CMD_RECLAIM, handle))
		return;
	/* The owner has access again, to what the borrower wrote. */
	if (tell(&reply, 0, owner, "reading", CMD_READ, MEMORY_OWN, 4096 + 8))
		expect_eq(reply.x[5], memory_pattern(0x2800, 1),
			  "word that the borrower wrote");

	/* And had none meanwhile. */
	if (!send(owner, "lending", SPARE(SEND_LEND, 1, 1, MEMORY_OPEN),
		  TO(borrower, PERMIT_RW), 0, 28, &handle))
		return;
	expect_contained(owner, true, "reading what it lends", page);
}

/*
 * The host gives a page away: it is refused in all further transactions. Linux
 * never gets it back. pKVM does not let a host do that.
 */
static noinline void host_donates(const struct partition *receiver)
{
	struct pages list[1];
	struct offer offer = {
		.function = FFA_FN64_MEM_DONATE,
		.receiver = receiver->id,
		.attributes = MEMORY_OPEN,
		.tag = 0x29,
		.ranges = list,
		.count = ARRAY_SIZE(list),
	};
	struct offer again = SHARE(ECHO, list);
	void *page = (void *)__get_free_page(GFP_KERNEL);
	struct ffa_regs reply;
	u64 handle, none;

	if (!expect_true(page, "a page"))
		return;
	list[0] = (struct pages){ virt_to_phys(page), 1 };
	memory_fill(page, 0, 0x2900);
	/* Until it is retrieved, it can be taken back. */
	if (!expect_success(memory_send(&offer, &handle), "FFA_MEM_DONATE") ||
	    !expect_success(memory_reclaim(handle, 0),
			    "FFA_MEM_RECLAIM of a donation") ||
	    !expect_success(memory_send(&offer, &handle), "FFA_MEM_DONATE again"))
		return;
	tell(&reply, FFA_RET_DENIED, ECHO, "retrieving another's", CMD_RETRIEVE,
	     handle, FROM(HOST_ID, MEMORY_NORMAL), KIND_DONATE,
	     WISH(PERMIT_RW_NX, 0x29));
	if (!tell(&reply, 0, receiver, "retrieving", CMD_RETRIEVE, handle,
		  FROM(HOST_ID, MEMORY_NORMAL), KIND_DONATE,
		  WISH(PERMIT_RW_NX, 0x29)))
		return;
	if (tell(&reply, 0, receiver, "reading", CMD_READ, handle, 8))
		expect_eq(reply.x[5], memory_pattern(0x2900, 1),
			  "word that the host wrote");
	expect_error(memory_reclaim(handle, 0), FFA_RET_INVALID_PARAMETERS,
		     "FFA_MEM_RECLAIM of what is another's");
	expect_error(memory_send(&again, &none), FFA_RET_DENIED,
		     "FFA_MEM_SHARE of what is another's");
	expect_error(memory_send(&offer, &none), FFA_RET_DENIED,
		     "FFA_MEM_DONATE of what is another's");
	tell(&reply, FFA_RET_INVALID_PARAMETERS, receiver, "relinquishing",
	     CMD_RELINQUISH, handle);
}

void sp_donate(void)
{
	const struct partition *owner = RELAY, *receiver = IRQ;
	struct ffa_regs reply;
	u64 handle, page;

	if (!memory_begin())
		return;
	if (!under_pkvm())
		host_donates(receiver);
	page = address_of(owner, 3);
	if (!page)
		return;
	tell(&reply, 0, owner, "filling", CMD_FILL, MEMORY_OWN, 3, 1, 29);
	/* To one only, and with all access. */
	tell(&reply, FFA_RET_INVALID_PARAMETERS, owner, "donating to two",
	     CMD_SEND, SPARE(SEND_DONATE, 3, 1, MEMORY_OPEN),
	     TO(receiver, 0) | AND(ECHO, 0));
	if (!send(owner, "donating", SPARE(SEND_DONATE, 3, 1, MEMORY_OPEN),
		  TO(receiver, 0), 0, 29, &handle))
		return;
	/* Until it is retrieved, it can be taken back. */
	tell(&reply, 0, owner, "reclaiming a donation", CMD_RECLAIM, handle);
	if (!send(owner, "donating again", SPARE(SEND_DONATE, 3, 1, MEMORY_OPEN),
		  TO(receiver, 0), 0, 29, &handle) ||
	    !tell(&reply, 0, receiver, "retrieving", CMD_RETRIEVE, handle,
		  FROM(owner->id, MEMORY_NORMAL), KIND_DONATE,
		  WISH(PERMIT_RW_NX, 29)))
		return;
	expect_retrieved(&reply, receiver, 1, KIND_DONATE, PERMIT_RW);
	if (tell(&reply, 0, receiver, "reading", CMD_READ, handle, 8))
		expect_eq(reply.x[5], memory_pattern(29, 3 * 512 + 1),
			  "word that the old owner wrote");
	tell(&reply, 0, receiver, "writing", CMD_WRITE, handle, 8,
	     0x2929292929292929);

	/* The transaction is over: there is nothing to give back or to reclaim. */
	tell(&reply, FFA_RET_INVALID_PARAMETERS, owner, "reclaiming",
	     CMD_RECLAIM, handle);
	tell(&reply, FFA_RET_INVALID_PARAMETERS, receiver, "relinquishing",
	     CMD_RELINQUISH, handle);
	tell(&reply, FFA_RET_DENIED, owner, "sharing what it has donated",
	     CMD_SEND, SPARE(SEND_SHARE, 3, 1, MEMORY_NORMAL),
	     TO(ECHO, PERMIT_RW));

	/* Part of it belongs to another, so it does not begin anew. */
	expect_contained(owner, false, "reading what it has donated", page);
	if (tell(&reply, 0, receiver, "reading", CMD_READ, handle, 8))
		expect_eq(reply.x[5], 0x2929292929292929,
			  "word of the new owner");
}

void sp_share_multi(void)
{
	const struct partition *owner = RELAY, *writer = ECHO, *reader = IRQ;
	struct ffa_regs reply;
	u64 handle, page, sum = 0;

	if (!memory_begin())
		return;
	page = address_of(owner, 2);
	if (!page)
		return;
	tell(&reply, 0, owner, "filling", CMD_FILL, MEMORY_OWN, 2, 1, 30);
	tell(&reply, FFA_RET_INVALID_PARAMETERS, owner,
	     "sharing with the same twice", CMD_SEND,
	     SPARE(SEND_SHARE, 2, 1, MEMORY_NORMAL),
	     TO(writer, PERMIT_RW) | AND(writer, PERMIT_RO));
	if (!send(owner, "sharing with two",
		  SPARE(SEND_SHARE, 2, 1, MEMORY_NORMAL),
		  TO(writer, PERMIT_RW) | AND(reader, PERMIT_RO), 0, 30, &handle))
		return;

	/* Each names both, as the owner did, and asks for no more. */
	tell(&reply, FFA_RET_INVALID_PARAMETERS, reader, "naming itself only",
	     CMD_RETRIEVE, handle, FROM(owner->id, MEMORY_NORMAL), KIND_SHARE,
	     WISH(PERMIT_RO, 30));
	tell(&reply, FFA_RET_DENIED, reader, "asking to write", CMD_RETRIEVE,
	     handle, FROM(owner->id, MEMORY_NORMAL), KIND_SHARE,
	     WISH(PERMIT_RW, 30) | BESIDE(writer, PERMIT_RW) | OTHER_FIRST);
	if (!tell(&reply, 0, writer, "retrieving", CMD_RETRIEVE, handle,
		  FROM(owner->id, MEMORY_NORMAL), KIND_SHARE,
		  WISH(PERMIT_RW, 30) | BESIDE(reader, PERMIT_RO)))
		goto reclaim;
	expect_retrieved(&reply, writer, 1, KIND_SHARE, PERMIT_RW);
	if (!tell(&reply, 0, reader, "retrieving", CMD_RETRIEVE, handle,
		  FROM(owner->id, MEMORY_NORMAL), KIND_SHARE,
		  WISH(PERMIT_RO, 30) | BESIDE(writer, PERMIT_RW) | OTHER_FIRST))
		goto relinquish;
	expect_retrieved(&reply, reader, 1, KIND_SHARE, PERMIT_RO);

	/* One writes, all see it. */
	tell(&reply, 0, writer, "filling", CMD_FILL, handle, 0, 1, 0x3000);
	if (checksum(writer, handle, 0, 1, &sum)) {
		u64 other;

		if (checksum(reader, handle, 0, 1, &other))
			expect_eq(other, sum, "checksum of what the reader sees");
		if (checksum(owner, MEMORY_OWN, 2, 1, &other))
			expect_eq(other, sum, "checksum of what the owner sees");
	}

	/* It is the owner's again only when both have given it back. */
	tell(&reply, FFA_RET_DENIED, owner, "reclaiming from two", CMD_RECLAIM,
	     handle);
	tell(&reply, FFA_RET_INVALID_PARAMETERS, reader,
	     "clearing what is shared", CMD_RELINQUISH, handle, ZERO_MEMORY);
	tell(&reply, 0, reader, "relinquishing", CMD_RELINQUISH, handle);
	tell(&reply, FFA_RET_DENIED, owner, "reclaiming from one", CMD_RECLAIM,
	     handle);
	/* The other one has lost nothing. */
	tell(&reply, 0, writer, "writing", CMD_WRITE, handle, 0, 0x3030);

	/*
	 * Who may only read and writes is stopped. It gives back what it has, and
	 * begins anew without it.
	 */
	if (!tell(&reply, 0, reader, "retrieving again", CMD_RETRIEVE, handle,
		  FROM(owner->id, MEMORY_NORMAL), KIND_SHARE,
		  WISH(PERMIT_RO, 30) | BESIDE(writer, PERMIT_RW) | OTHER_FIRST))
		goto relinquish;
	expect_contained(reader, true, "writing what it may only read", page,
			 TOUCH_WRITE, 0xbad);
	if (tell(&reply, 0, writer, "reading", CMD_READ, handle, 0))
		expect_eq(reply.x[5], 0x3030, "word that the reader tried to write");
	tell(&reply, FFA_RET_INVALID_PARAMETERS, reader,
	     "relinquishing what is gone", CMD_RELINQUISH, handle);
relinquish:
	tell(&reply, 0, writer, "relinquishing", CMD_RELINQUISH, handle);
reclaim:
	tell(&reply, 0, owner, "reclaiming", CMD_RECLAIM, handle);
	if (tell(&reply, 0, owner, "reading", CMD_READ, MEMORY_OWN, 2 * 4096))
		expect_eq(reply.x[5], 0x3030, "word that the writer left");
}
