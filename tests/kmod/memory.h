/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory that the host shares and lends: descriptors, fragments, and what partitions
 * are told to do with it.
 */
#ifndef TANTALUM_MEMORY_H
#define TANTALUM_MEMORY_H

#include <linux/io.h>
#include <linux/mm.h>

#include "harness.h"
#include "protocol.h"

/* Offsets in the descriptor that memory_describe() writes. */
#define OFFSET_SENDER		0
#define OFFSET_ATTRIBUTES		2
#define OFFSET_FLAGS		4
#define OFFSET_HANDLE		8
#define OFFSET_TAG			16
#define OFFSET_RECORD_SIZE		24
#define OFFSET_RECORD_COUNT		28
#define OFFSET_RECORD_OFFSET	32
#define OFFSET_RESERVED		36
#define OFFSET_RECORD		48
#define OFFSET_COMPOSITE		64
#define OFFSET_RANGES		80
#define RANGE_SIZE		16

/* Attributes: what RAM is; left open; and what a borrower of this world's sees. */
#define MEMORY_NORMAL		0x2f
#define MEMORY_OPEN		0x00
#define MEMORY_NS		0x40

/* Permissions. Who has the memory for itself says that it executes nothing. */
#define PERMIT_RO		FFA_MEM_RO
#define PERMIT_RW		FFA_MEM_RW
#define PERMIT_RO_NX		(FFA_MEM_RO | FFA_MEM_NO_EXEC)
#define PERMIT_RW_NX		(FFA_MEM_RW | FFA_MEM_NO_EXEC)

#define KIND_SHARE		FFA_MEM_RETRIEVE_TYPE_SHARE
#define KIND_LEND		FFA_MEM_RETRIEVE_TYPE_LEND
#define KIND_DONATE		FFA_MEM_RETRIEVE_TYPE_DONATE
#define ZERO_MEMORY		BIT(0)
#define ZERO_AFTERWARDS		BIT(2)

struct pages {
	phys_addr_t address;
	u32 pages;
};

/* What the host offers to one partition. */
struct offer {
	/* FFA_MEM_SHARE or FFA_MEM_LEND, or their 64-bit forms */
	u32 function;
	u16 receiver;
	u8 permissions;
	u16 attributes;
	u32 flags;
	u64 tag;
	const struct pages *ranges;
	u32 count;
};

#define SHARE(sp, list)                                                  \
	((struct offer){ .function = FFA_FN64_MEM_SHARE,                 \
			 .receiver = (sp)->id, .permissions = PERMIT_RW, \
			 .attributes = MEMORY_NORMAL, .ranges = (list),  \
			 .count = ARRAY_SIZE(list) })
#define LEND(sp, list)                                                   \
	((struct offer){ .function = FFA_FN64_MEM_LEND,                  \
			 .receiver = (sp)->id, .permissions = PERMIT_RW, \
			 .attributes = MEMORY_OPEN, .ranges = (list),    \
			 .count = ARRAY_SIZE(list) })

/* Size of the whole descriptor. */
static inline u32 memory_length(const struct offer *offer)
{
	return OFFSET_RANGES + RANGE_SIZE * offer->count;
}

/*
 * Writes the descriptor, or as much as one fragment holds, into the TX buffer.
 * Returns the size of the fragment.
 */
u32 memory_describe(const struct offer *offer);

/* Sends an offer, all its fragments. The last answer, and the handle if it is one. */
struct ffa_regs memory_send(const struct offer *offer, u64 *handle);
struct ffa_regs memory_reclaim(u64 handle, u32 flags);

/* The pattern that CMD_FILL writes, and the checksum that CMD_CHECKSUM computes. */
u64 memory_pattern(u64 seed, u64 index);
void memory_fill(void *page, u64 number, u64 seed);
bool memory_is_filled(const void *page, u64 number, u64 seed);
u64 memory_checksum(u64 sum, const void *page);

/*
 * tell(&reply, code, partition, what, x3, ...): sends a command about memory, and
 * expects it to be done, if the code is zero, or refused with the code.
 */
#define tell(reply, code, sp, what, ...)                            \
	({                                                          \
		const struct ffa_regs command_ =                    \
			ffa_request64((sp)->id, __VA_ARGS__);       \
		check_told(HERE, (sp), &command_, (reply), (code), (what)); \
	})
bool check_told(struct where where, const struct partition *sp,
		const struct ffa_regs *command, struct ffa_regs *reply,
		int code, const char *what);

/* Arguments of CMD_RETRIEVE. */
#define FROM(sender, attributes)	((u64)(attributes) << 16 | (sender))
#define WISH(permissions, tag)		((u64)(tag) << 48 | (permissions))

/*
 * The partition touches an address that it may not, and is stopped: its caller is
 * told, and the other partitions go on. If it comes back, it does as if new.
 */
#define expect_contained(sp, returns, what, ...)                    \
	({                                                          \
		const struct ffa_regs command_ =                    \
			ffa_request64((sp)->id, CMD_TOUCH, __VA_ARGS__); \
		check_contained(HERE, (sp), &command_, (returns), (what)); \
	})
bool check_contained(struct where where, const struct partition *victim,
		     const struct ffa_regs *touch, bool returns,
		     const char *what);

#define ECHO	(&partitions[0])
#define IRQ	(&partitions[1])
#define RELAY	(&partitions[2])

/* Maps the buffers that descriptors go through, with Linux's driver out of the way. */
bool memory_begin(void);

#endif
