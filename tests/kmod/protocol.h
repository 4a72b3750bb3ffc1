/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the scenarios know of the image under test: its partitions, and the words
 * that the partitions understand in direct messages. The partitions' side of the
 * same facts is hypervisor/partitions/protocol.
 */
#ifndef TANTALUM_PROTOCOL_H
#define TANTALUM_PROTOCOL_H

#include <linux/types.h>
#include <linux/uuid.h>

/* This kernel's own: 0 for a host, the number of a virtual machine from 1 on. */
u16 own_id(void);
#define HOST_ID		own_id()
#define SPMC_ID		0x8000
#define ECHO_ID		0x8001
#define IRQ_ID		0x8002
#define RELAY_ID	0x8003
/* Ids that nobody has. */
#define ABSENT_SP_ID	0x8004
#define ABSENT_VM_ID	(HOST_ID + 1)

#define CPU_COUNT	4

/* Property of a partition: it receives direct requests of the second form. */
#define RECEIVES_SERVICE_REQUESTS	BIT(9)

/* Pages of the largest RX and TX buffers, which a caller at 1.2 is told. */
#define MAX_BUFFER_PAGES	16

/* The SGI that the SPMC donates as schedule receiver interrupt. */
#define SRI_INTID	8

struct partition {
	const char *name;
	u16 id;
	/* Execution contexts: one, or one for each CPU. */
	u16 contexts;
	/* The version of FF-A that it speaks. From 1.2 on it has a service. */
	u32 version;
	uuid_t uuid;
};

#define PARTITION_COUNT	3
extern const struct partition partitions[PARTITION_COUNT];

/*
 * Command words, in x3 of a request. The answer has a result in x3, zero for
 * success, and values in x4 to x7. A request that starts with any other word is
 * echoed by the partition, x3 to x7.
 */

/* x4 = own id, x5 = SPMC id, x6 = FF-A version, x7 = MPIDR_EL1 bits 31:0 */
#define CMD_IDENTITY	0x54410001
/* x4 = value to keep -> x4 = value kept before, x5 = EXCHANGEs so far */
#define CMD_EXCHANGE	0x54410002
/*
 * x4 = ids of the next hops, 16 bits each, next one lowest; x5 = value;
 * x6 = hops so far; x7 = trail -> x5 = value + 1, x6 = hops, x7 = trail
 */
#define CMD_RELAY	0x54410003
/* x4 = function or feature id, x5 = input -> x4 = 0 or error, x5 = w2, x6 = w3 */
#define CMD_FEATURES	0x54410004
/* x4-x7 = w0-w3 of a call that the partition makes -> x4-x7 = x0-x3 it got */
#define CMD_RAW		0x54410005
/* The partition prints a line by FFA_CONSOLE_LOG -> x4 = 0 or error */
#define CMD_LOG		0x54410006

/* Result of RELAY when the next hop refused; x4 has the error code. */
#define RESULT_HOP_REFUSED	2

/*
 * Memory. A handle names it, or MEMORY_OWN the spare pages of the partition; places
 * in it are counted from its beginning. x4 of the answer is 0 or an error code.
 */
#define MEMORY_OWN	U64_MAX
/*
 * x4 = handle; x5 = sender, attributes << 16; x6 = flags; x7 = permissions,
 * permissions and id of another receiver << 8 and << 16, bit 32: that one comes
 * first, tag << 48 -> x5 = pages, ranges << 32; x6 = attributes, permissions << 16,
 * records << 24; x7 = flags, tag << 32
 */
#define CMD_RETRIEVE	0x54410100
/* x4 = handle, x5 = flags */
#define CMD_RELINQUISH	0x54410101
/* x4 = handle, x5 = byte -> x5 = word there */
#define CMD_READ	0x54410102
/* x4 = handle, x5 = byte, x6 = word to write there */
#define CMD_WRITE	0x54410103
/* x4 = handle, x5 = first page, x6 = how many, x7 = seed of the pattern */
#define CMD_FILL	0x54410104
/* x4 = handle, x5 = first page, x6 = how many -> x5 = checksum */
#define CMD_CHECKSUM	0x54410105
/*
 * x4 = kind, first spare page << 8, how many << 16, attributes << 32; x5 = receiver,
 * permissions << 16, a second one << 32 and << 48; x6 = flags; x7 = tag -> x5 = handle
 */
#define CMD_SEND	0x54410106
#define SEND_SHARE	1
#define SEND_LEND	2
#define SEND_DONATE	3
/* x4 = handle, x5 = flags */
#define CMD_RECLAIM	0x54410107
/* x4 = address, x5 = TOUCH_*, x6 = word to write -> x5 = word that was read */
#define CMD_TOUCH	0x54410108
#define TOUCH_WRITE	BIT(0)
#define TOUCH_NS	BIT(1)
/* x4 = number of a spare page -> x5 = its address */
#define CMD_SPARE_PAGE	0x54410109

/*
 * Notifications and indirect messages. Two endpoints are in one word as w1 has
 * them: see ffa_route. Answers have 0 or an error code in x4.
 */

/* x4 = sender and receiver, x5 = flags, x6 = bitmap */
#define CMD_NOTIFY_BIND		0x54410200
#define CMD_NOTIFY_UNBIND	0x54410201
#define CMD_NOTIFY_SET		0x54410202
/*
 * x4 = context and receiver, x5 = flags -> x5 = from partitions, x6 = from VMs,
 * x7 = from the SPM, and from the hypervisor in bits 63:32
 */
#define CMD_NOTIFY_GET		0x54410203
/*
 * Lets interrupts come for a moment -> x4 = notification pending interrupts since
 * the last time, x5-x7 = what was read then, as in GET
 */
#define CMD_NOTIFY_NOTED	0x54410204
/*
 * x4 = sender and receiver of a message, x5 = size, x6 = seed of its bytes,
 * x7 = offset in the buffer, and flags in bits 63:32
 */
#define CMD_NOTIFY_SEND		0x54410205
/*
 * What is in the RX buffer -> x5 = sender and receiver, and offset in bits 63:32,
 * x6 = size, x7 = checksum
 */
#define CMD_NOTIFY_RECEIVE	0x54410206
#define CMD_NOTIFY_RELEASE	0x54410207
/* x4 = 1 maps the partition's buffers, 0 unmaps them */
#define CMD_NOTIFY_BUFFERS	0x54410208

/* Interrupts; all of these take the 64-bit form. */

/*
 * x4 = ticks of the system counter to spin for, less if it is stopped; x5 = seed
 * of the pattern that is in the registers meanwhile; x6 = ids of the next hops,
 * 16 bits each, next one lowest: the last one spins; x7 = ticks until its own
 * timer goes off by IRQ, or 0 -> x4 = registers that changed, on all hops; of the
 * last one x5 = turns, x6 = managed exits, x7 = interrupts it took as exceptions
 */
#define CMD_HOLD	0x54410300
/*
 * x4 = ticks until the partition's timer goes off, 0 turns it off; x5 = 0 for IRQ,
 * 1 for FIQ -> x4 = CNTP_CTL_EL0, x5 = CNTP_CVAL_EL0, x6 = CNTP_TVAL_EL0, x7 = now
 */
#define CMD_ARM_TIMER	0x54410301
/* x4 = INTID -> x4 = times it came, x5 = by IRQ, x6 = by FIQ, x7 by FFA_INTERRUPT */
#define CMD_COUNTS	0x54410302
/* How often the partition was asked for a managed exit -> as CMD_COUNTS */
#define CMD_EXITS	0x54410303
/* x4-x7 = x0-x3 of a paravirtual call that the partition makes -> x4 = x0 it got */
#define CMD_PARAVIRTUAL	0x54410304
/* Of irq only: x4 = seconds until the clock's alarm rings -> x4 = its time */
#define CMD_ARM_ALARM	0x54410305
/* -> x4, x5 = when the last HOLD began, ended; x6 = last interrupt was handled */
#define CMD_TIMES	0x54410306
/* Ends a HOLD that another execution context of the partition is at */
#define CMD_STOP	0x54410307
/*
 * x4 = seed of a pattern that Linux has in its FP and SIMD registers -> x4 = those
 * of the partition that hold it
 */
#define CMD_LOOK	0x54410308
/* Partitions count their vector registers from here, Linux from 0. */
#define LOOK_BASE	32

/* The virtual interrupt of a partition's emulated timer. */
#define TIMER_INTID	3
/* The alarm of the real-time clock, which irq owns. */
#define ALARM_INTID	34

/* The life of partitions. */

/* x4 = way to fail, below FAIL_WAYS: there is no answer, the partition ends */
#define CMD_FAIL	0x54410400
#define FAIL_WAYS	5
/* There is no answer, the partition is at it for ever */
#define CMD_LOOP	0x54410401
/* x4 = times to call FFA_YIELD -> x4 = times that succeeded */
#define CMD_YIELD	0x54410402
/*
 * x4 = mark of this life -> x4 = LIFEs in this life so far, x5 = mark before,
 * FIRST_MARK in a fresh life, x6 = CPUs that went off, x7 = LOOPs that began
 */
#define CMD_LIFE	0x54410403
#define FIRST_MARK	0x5441465245534821
/*
 * x4 = partition to ask, x5-x7 = x3-x5 of what it is asked -> x4 = 0 or error,
 * x5-x7 = x3-x5 of its answer
 */
#define CMD_FORWARD	0x54410404

#endif
